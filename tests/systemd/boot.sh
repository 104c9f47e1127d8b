# Become the first process of a machine in namespaces of its own: our systemd, and no unit but those of PLACE/units.
# What it writes to /etc, /var, /usr/local and /run is gone with it.
set -eu
place=$1 code=$2
mount --make-rprivate /
mkdir "$place/layers"
mount -t tmpfs -o size=256m tmpfs "$place/layers"
for part in etc var usr/local; do
  mkdir -p "$place/layers/$part" "$place/layers/$part.work"
  mount -t overlay overlay -o "lowerdir=/$part,upperdir=$place/layers/$part,workdir=$place/layers/$part.work" "/$part"
done
# Units with a /tmp of their own would not see a checkout that lies there.
mkdir -p /var/code /etc/systemd/system /etc/ebpfconductor
mount --rbind "$code" /var/code
cp -r "$place"/units/* /etc/systemd/system/
cp "$place"/bin/* /usr/local/bin/
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
mount --make-rshared /
exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/etc/systemd/system \
  /lib/systemd/systemd --system --unit=begin.target --log-target=null --show-status=no
