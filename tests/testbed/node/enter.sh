#!/bin/sh
# Makes a machine of this process: a cgroup of its own in every hierarchy, then namespaces of its own, in which boot.sh
# is process 1. The kernel takes all of it away when process 1 ends, but for the empty cgroups, whose paths go to the
# file "cgroups". They are below the caller's own, so that his limits hold.
#
#   enter.sh NAME DIRECTORY BOOT [WORDS…]
set -eu
name=$1 here=$2
: > "$here/cgroups"

mount_point() { # of the hierarchy that has controller $1; "" means cgroup 2
    awk -v wanted="$1" '{
        for (i = 7; $i != "-"; i++); type = $(i + 1); options = "," $(i + 3) ","
        if (wanted == "" ? type == "cgroup2" : type == "cgroup" && index(options, "," wanted ",")) { print $5; exit }
    }' /proc/self/mountinfo
}

while IFS=: read -r _ controllers path; do
    point=$(mount_point "${controllers%%,*}")
    [ -n "$point" ] || continue
    own=${point}${path%/}/${here##*/} # the folder's name has the test run's pid, by which dead runs are found
    if [ -z "$controllers" ] && [ -e "$point/cgroup.subtree_control" ]; then
        parent=${own%/*}
        for each in $(cat "$parent/cgroup.controllers"); do
            echo "+$each" > "$parent/cgroup.subtree_control" 2> /dev/null || :
        done
    fi
    mkdir -p "$own"
    echo "$own" >> "$here/cgroups"
    case ,$controllers, in *,cpuset,*) # a new cpuset is empty, and an empty one takes no process
        for each in cpuset.cpus cpuset.mems; do cat "${own%/*}/$each" > "$own/$each"; done ;;
    esac
    echo $$ > "$own/cgroup.procs"
done < /proc/self/cgroup

shift
exec unshare --cgroup --mount --net --pid --uts --ipc --fork --kill-child --mount-proc -- sh "$2" "$name" "$@"
