"""The doctor on memory, a container's limit, full disks."""

from doctoring import full

from jreid import machine_memory
from jreid.doctor import (
    machine,
)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 64000000 kB\nMemAvailable: 32000000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/job/step\n")
    (groups / "job" / "step").mkdir(parents=True)
    monkeypatch.setattr(machine_memory, "PROC", proc)
    monkeypatch.setattr(machine_memory, "CGROUPS", groups)
    assert machine_memory.available_memory() == 32_000_000 * 1024
    assert machine_memory.memory_limit() == 0
    for group, limit in (("job/step", "max"), ("job", "4000000000")):
        (groups / group / "memory.max").write_text(f"{limit}\n")
        (groups / group / "memory.current").write_text("1500000000\n")
    assert machine_memory.available_memory() == 2_500_000_000
    assert machine_memory.whole_memory() == 4_000_000_000
    found = machine.check_memory()
    assert found.level == "warn" and "limits it to 4.0 GB" in found.words
    (groups / "job" / "memory.current").write_text("0\n")
    assert machine.check_memory().level == "ok"
    assert "--config.loading.cache=False" in machine.check_memory(needed=2.0).remedy


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("JREID_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs" / "demo"
    monkeypatch.setattr(machine.os, "statvfs", full(free=5_000_000_000))
    assert machine.check_runs_disk(runs, 3.0).level == "ok"
    found = machine.check_runs_disk(runs, 8.0)
    assert found.level == "fail"
    assert f"5.0 GB free in {tmp_path}; this run may take 9.0 GB" in found.words
    assert f"df -h {tmp_path}" in found.remedy
    assert machine.check_cache_disk().level == "ok"
    monkeypatch.setattr(machine.os, "statvfs", full(free=500_000_000))
    assert machine.check_cache_disk().level == "warn"
    monkeypatch.setattr(machine.os, "statvfs", full())
    assert machine.check_cache_disk().level == "fail"
    monkeypatch.setattr(machine.os, "statvfs", full(free=10**12, inodes=0))
    assert "no inode is free" in machine.check_runs_disk(runs, None).words


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "runs").touch()
    found = machine.check_runs_disk(tmp_path / "runs" / "x", None)
    assert found.level == "fail" and "cannot be written" in found.words
