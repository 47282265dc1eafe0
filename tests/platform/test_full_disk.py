"""A disk that fills up: what is refused says so, what was acknowledged stays, and all is well once there is room."""

import os
import subprocess

import pytest
from botocore.exceptions import ClientError
from conftest import PYTHON, ROLE, Platform, zipped

GOOD = "def handler(event, context):\n    return 'well'"
SIZE_MIB = 160


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own for a data directory, so small that it can be filled."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "peek-small-disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(path):
    """Takes all that is left of the disk, to the last byte."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def names(platform):
    pages = platform.client.get_paginator("list_functions").paginate()
    return {function["FunctionName"] for page in pages for function in page["Functions"]}


def incompressible(mib):
    return zipped({"app.py": GOOD, "filler": os.urandom(mib << 20)})


def create(platform, name, zip_file):
    platform.client.create_function(
        FunctionName=name, Role=ROLE, Runtime="provided.al2023", Handler="h", Code={"ZipFile": zip_file}
    )


# Uploads to a full disk are refused by name, however full it is; the platform goes on, and takes uploads once there is
# room; nothing that was refused is there, nothing that was acknowledged is gone, also after a kill.
@pytest.mark.parametrize("free_kib", [4096, 64, 0])
def test_full_disk(small_disk, free_kib):
    platform = Platform(small_disk / "data")
    try:
        platform.deploy("kept", GOOD)
        assert platform.invoke("kept")[0] == "well"
        (small_disk / "reserve").write_bytes(bytes(free_kib << 10))
        fill(small_disk / "filler")
        (small_disk / "reserve").unlink()
        for number in range(2):
            with pytest.raises(ClientError) as refused:
                create(platform, f"refused-{number}", incompressible(5))
            error = refused.value.response
            assert error["Error"]["Code"] == "CodeStorageExceededException", error
            assert "disk is full" in error["Error"]["Message"], error
        with pytest.raises(ClientError) as refused:
            platform.client.update_function_code(FunctionName="kept", ZipFile=incompressible(5))
        assert refused.value.response["Error"]["Code"] == "CodeStorageExceededException"
        assert platform.invoke("kept")[0] == "well"
        assert names(platform) == {"kept"}
        (small_disk / "filler").unlink()
        create(platform, "after", incompressible(5))
        platform.client.update_function_configuration(FunctionName="kept", Description="after")
        assert names(platform) == {"kept", "after"}

        platform.kill()
        platform.start()
        assert names(platform) == {"kept", "after"}
        assert platform.invoke("kept")[0] == "well"
    finally:
        platform.stop()


# Where the code is there already it is the catalog that grows: it too says so, forgets nothing, and can still delete.
def test_full_catalog(small_disk):
    platform = Platform(small_disk / "data")
    try:
        platform.deploy("kept", GOOD)
        fill(small_disk / "filler")
        made = [name for name in (f"f{number:04}" for number in range(1000)) if is_created(platform, name)]
        assert len(made) < 1000, "the disk is full"
        assert names(platform) == {"kept", *made}
        assert platform.invoke("kept")[0] == "well"
        gone, stays = made[::2], set(made[1::2])
        for name in gone:
            platform.client.delete_function(FunctionName=name)
        assert names(platform) == {"kept", *stays}
        assert is_created(platform, "instead")

        platform.kill()
        (small_disk / "filler").unlink()
        platform.start()
        assert names(platform) == {"kept", "instead", *stays}
        assert platform.invoke("kept")[0] == "well"
    finally:
        platform.stop()


def is_created(platform, name):
    """Creates a function whose code is there already, with much else to remember."""
    settings = {"Runtime": PYTHON, "Handler": "app.handler", "Role": ROLE, "Description": "x" * 256}
    environment = {"Variables": {"FILL": "x" * 3500}}
    try:
        platform.client.create_function(
            FunctionName=name, Code={"ZipFile": zipped({"app.py": GOOD})}, Environment=environment, **settings
        )
    except ClientError as refused:
        error = refused.response["Error"]
        assert error["Code"] == "CodeStorageExceededException", error
        assert "disk is full" in error["Message"], error
        return False
    return True
