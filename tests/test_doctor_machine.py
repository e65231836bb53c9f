"""The doctor on memory, a container's limit, full disks."""

import pytest
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


@pytest.mark.parametrize(
    ("line", "folder", "limit", "use", "cached"),
    [
        ("0::/", "", "memory.max", "memory.current", "inactive_file"),
        (
            "5:cpu,memory:/",
            "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ],
    ids=["v2", "v1"],
)
def test_cached_files_of_a_container_are_free(
    tmp_path, monkeypatch, line, folder, limit, use, cached
):
    """After a data set was copied: of 16 GB, 15 hold its files, which can go."""
    group = tmp_path / "groups" / folder
    (tmp_path / "self").mkdir(parents=True)
    group.mkdir(parents=True)
    monkeypatch.setattr(machine_memory, "PROC", tmp_path)
    monkeypatch.setattr(machine_memory, "CGROUPS", tmp_path / "groups")
    meminfo = "MemTotal: 64000000 kB\nMemAvailable: 60000000 kB\n"
    (tmp_path / "meminfo").write_text(meminfo)
    (tmp_path / "self" / "cgroup").write_text(f"{line}\n")
    (group / limit).write_text("16000000000\n")
    (group / use).write_text("15500000000\n")
    assert machine_memory.available_memory() == 500_000_000
    told = f"anon 1000000000\nactive_file 2500000000\n{cached} 12000000000\n"
    (group / "memory.stat").write_text(told)
    assert machine_memory.available_memory() == 12_500_000_000
    assert machine.check_memory().level == "ok"
    (group / "memory.stat").write_text(f"{cached} 99000000000\n")  # a moment later
    assert machine_memory.available_memory() == 16_000_000_000
    (group / "memory.stat").write_text("anon 1000000000\n")
    assert machine_memory.available_memory() == 500_000_000


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
