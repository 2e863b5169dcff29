#!/bin/sh
# Makes a machine of this process: a cgroup of its own in every hierarchy, then namespaces of its own, in which boot.sh
# is process 1. The kernel takes all of it away when process 1 ends, but for the empty cgroups, whose paths go to the
# file "cgroups". They are below the caller's own, so that his limits hold.
#
#   enter.sh NAME DIRECTORY BOOT [WORDS…]
set -eu
name=$1 here=$2
: > "$here/cgroups"

# In a hierarchy of version 2 a group with processes, such as the caller's, can give its children no controllers. To make
# room there would mean to move processes that are not ours, and to change settings of groups that are the machine's.
grep -q '^[0-9]*:[a-z_,]*memory' /proc/$$/cgroup || {
    echo "its cgroups are of version 2" >&2
    exit 1
}

mount_point() { # of the hierarchy that has controller $1
    awk -v wanted="$1" '{
        for (i = 7; $i != "-"; i++);
        if ($(i + 1) == "cgroup" && index("," $(i + 3) ",", "," wanted ",")) { print $5; exit }
    }' /proc/self/mountinfo
}

while IFS=: read -r _ controllers path; do
    [ -n "$controllers" ] || continue # version 2 beside the others has nothing to give
    point=$(mount_point "${controllers%%,*}")
    [ -n "$point" ] || continue
    own=${point}${path%/}/${here##*/} # the folder's name has the test run's pid, by which dead runs are found
    mkdir -p "$own"
    echo "$own" >> "$here/cgroups"
    case ,$controllers, in *,cpuset,*) # a new cpuset is empty, and an empty one takes no process
        for each in cpuset.cpus cpuset.mems; do cat "${own%/*}/$each" > "$own/$each"; done ;;
    esac
    echo $$ > "$own/cgroup.procs"
done < /proc/$$/cgroup

shift
exec unshare --cgroup --mount --net --pid --uts --ipc --fork --kill-child --mount-proc -- sh "$2" "$name" "$@"
