"""Isolation on this machine: whose instances share a host, by tag of a function and by account, as functions see it."""

import pytest
from botocore.exceptions import ClientError

from conftest import PYTHON, ROLE, ROOT, zipped

CODE = "def handler(event, context):\n    return open('/proc/sys/kernel/random/boot_id').read()\n"
TAG = "peek:isolation"
STUDY = ROOT / "profiles" / "study.toml"


def host(platform, name, tag=None, role=ROLE):
    """Deploys a function and says on which host its first instance runs."""
    settings = {"Tags": {TAG: tag}} if tag else {}
    platform.client.create_function(
        FunctionName=name,
        Role=role,
        Code={"ZipFile": zipped({"app.py": CODE})},
        Runtime=PYTHON,
        Handler="app.handler",
        **settings,
    )
    platform.client.get_waiter("function_active_v2").wait(FunctionName=name)
    found, error, _ = platform.invoke(name)
    assert error is None, found
    return found


# Functions of one account share a host, but for those whose tag asks for hosts of their role or their own: these meet
# nobody, whoever came first.
def test_tags_keep_functions_apart(fresh):
    platform = fresh("--profile", "study")
    alone = host(platform, "alone", "function")
    first = host(platform, "first")
    assert host(platform, "second") == first != alone
    assert host(platform, "also-alone", "function") not in (first, alone)
    role = host(platform, "of-role", "role")
    assert role not in (first, alone)
    assert host(platform, "of-same-role", "role") == role
    assert host(platform, "of-other-role", "role", ROLE + "-2") not in (first, alone, role)
    assert host(platform, "said-so", "tenant") == first


# A word that is no isolation is refused with those that there are, and nothing is created.
def test_other_words_are_refused(fresh):
    platform = fresh("--profile", "study")
    with pytest.raises(ClientError) as refused:
        host(platform, "wrong", "roles")
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"].endswith("Valid values are: tenant, role, function.")
    with pytest.raises(platform.client.exceptions.ResourceNotFoundException):
        platform.client.get_function(FunctionName="wrong")


# An account of which the profile says so has hosts for each function, and a function of it can ask for less.
def test_accounts_are_kept_apart(fresh, tmp_path):
    profile = tmp_path / "account.toml"
    profile.write_text(f'{STUDY.read_text()}\n[accounts."123456789012"]\nisolation = "function"\n')
    platform = fresh("--profile", str(profile))
    hosts = [host(platform, name) for name in ("one", "two", "three")]
    assert len(set(hosts)) == 3
    assert host(platform, "four", "tenant") == host(platform, "five", "tenant") not in hosts
