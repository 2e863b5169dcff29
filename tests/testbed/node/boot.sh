#!/bin/sh
# Process 1 of the node: the mounts and the loopback that it needs, DNS, containerd, kube-proxy, GPUs that are none, and
# the kubelet. What ends is started again.
#
#   boot.sh NAME DIRECTORY BOOT ADDRESS GATEWAY BINARY LABELS GPUS
set -eu
name=$1 here=$2 address=$4 gateway=$5 binary=$6 labels=$7 gpus=$8

mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
# What is written to the machine's own folders stays here.
for each in /var /etc; do
    mkdir -p "/run/testbed$each/upper" "/run/testbed$each/work"
    mount -t overlay -o "lowerdir=$each,upperdir=/run/testbed$each/upper,workdir=/run/testbed$each/work" overlay "$each"
done
# The cgroups, as seen from our own ones: the kubelet takes them for those of the whole machine.
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
    case $controllers in
        "") continue ;;
        name=*) folder=${controllers#name=} options=none,$controllers ;;
        *) folder=$controllers options=$controllers ;;
    esac
    mkdir "/sys/fs/cgroup/$folder"
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$folder"
done < /proc/self/cgroup
# The kubelet would change settings of the kernel for the whole machine; it finds them as it wants them.
put() {
    [ -e "/proc/sys/$1" ] || return 0
    echo "$2" > "/run/testbed/${1##*/}"
    mount --bind "/run/testbed/${1##*/}" "/proc/sys/$1"
}
put vm/overcommit_memory 1
put vm/panic_on_oom 0
put kernel/panic 10
put kernel/panic_on_oops 1
put kernel/keys/root_maxkeys 1000000
put kernel/keys/root_maxbytes 25000000

hostname "$name"
ip link set lo up
while ! ip link show eth0 > /dev/null 2>&1; do sleep 0.01; done
ip address add "$address/30" dev eth0
ip link set eth0 up
ip route add default via "$gateway"
echo 1 > /proc/sys/net/ipv4/ip_forward
printf 'nameserver %s\n' "$address" > "$here/resolv.conf"
rm -f /etc/resolv.conf
cp "$here/resolv.conf" /etc/resolv.conf

again() { # NAME COMMAND…: runs it again and again, but not while the file "no-NAME" is there
    program=$1
    shift
    while :; do
        while [ -e "$here/no-$program" ]; do sleep 0.1; done
        "$@" >> "$here/$program.log" 2>&1 || :
        sleep 0.5
    done
}

again dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= --log-facility=- \
    --listen-address="$address" --bind-interfaces --no-resolv --no-hosts --hostsdir="$here/names" --address=/#/ &
again containerd containerd --config "$here/containerd.toml" &
while ! [ -S "$here/containerd.sock" ]; do sleep 0.01; done
for image in "$here"/images/*.tar; do
    ctr --address "$here/containerd.sock" --namespace k8s.io images import --no-unpack "$image" > /dev/null
done
again kube-proxy "$binary" kube-proxy --kubeconfig "$here/proxy.kubeconfig" --proxy-mode iptables \
    --hostname-override "$name" --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
    --conntrack-tcp-timeout-close-wait 0 &
plugin() {
    while ! [ -S /var/lib/kubelet/device-plugins/kubelet.sock ]; do sleep 0.05; done
    "$binary" device-plugin nvidia.com/gpu "$gpus" "$here/gpu-fault"
}
[ "$gpus" = 0 ] || again device-plugin plugin &
again kubelet "$binary" kubelet --config "$here/kubelet.yaml" --kubeconfig "$here/kubeconfig" \
    --hostname-override "$name" --node-ip "$address" --node-labels "$labels" --root-dir "$here/kubelet" \
    --cert-dir "$here/kubelet-pki"
