"""Terraform without a registry: its own formatting and loading, and that what names one another is there.

What `terraform validate` says besides, whether an argument is one of its resource's, needs the providers' schemas,
which are not to be had offline. Checkov reads the same files (`test_checkov`).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy import manifests, tools

FOLDER = tools.ROOT / "deploy" / "terraform"
MODULES = sorted(path.name for path in (FOLDER / "modules").iterdir() if path.is_dir())
ALONE = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}
_COMMENT = re.compile(r"^\s*(?:#|//).*$", re.MULTILINE)


def text(folder: Path) -> str:
    return "\n".join(_COMMENT.sub("", path.read_text()) for path in sorted(folder.glob("*.tf")))


def declared(kind: str, source: str) -> set[str]:
    return set(re.findall(rf'^{kind} "([^"]+)" \{{', source, re.MULTILINE))


def things(source: str) -> set[str]:
    """Resources and data sources, as they are referred to."""
    made = re.findall(r'^resource "([^"]+)" "([^"]+)"', source, re.MULTILINE)
    asked = re.findall(r'^data "([^"]+)" "([^"]+)"', source, re.MULTILINE)
    return {f"{kind}.{name}" for kind, name in made} | {f"data.{kind}.{name}" for kind, name in asked}


def calls(source: str) -> dict[str, set[str]]:
    """Module -> the arguments that it is given."""
    found = {}
    for name, body in re.findall(r'^module "([^"]+)" \{\n(.*?)^\}', source, re.MULTILINE | re.DOTALL):
        found[name] = set(re.findall(r"^  (\w+)\s*=", body, re.MULTILINE)) - {"source"}
    return found


@pytest.fixture
def copied(tmp_path):
    """The whole configuration, without its backend: so it can be loaded."""
    place = tmp_path / "terraform"
    shutil.copytree(FOLDER, place)
    versions = place / "versions.tf"
    versions.write_text(versions.read_text().replace('backend "s3" {}', ""))
    return place


def test_it_is_formatted():
    said = tools.run("terraform", "fmt", "-check", "-recursive", "-diff", FOLDER, variables=ALONE)
    assert said.status == 0, said.text


def test_terraform_can_load_it(copied):
    for arguments in (("get", "-no-color"), ("providers", "-no-color")):
        said = tools.run("terraform", *arguments, cwd=copied, variables=ALONE)
        assert said.status == 0, said.text
    assert {f"module.{name}" for name in MODULES} <= set(re.findall(r"module\.\w+", said.text))


def test_a_planted_fault_is_found_in_loading(copied):
    (copied / "planted.tf").write_text('resource "aws_vpc" {\n}\n')
    assert tools.run("terraform", "providers", "-no-color", cwd=copied, variables=ALONE).status != 0


@pytest.mark.parametrize("name", ["", *MODULES])
def test_what_is_referred_to_is_there(name):
    source = text(FOLDER / "modules" / name if name else FOLDER)
    variables = declared("variable", source)
    used = set(re.findall(r"\bvar\.(\w+)", source))
    assert used == variables
    assert set(re.findall(r"\blocal\.(\w+)", source)) <= set(re.findall(r"^  (\w+)\s*=", source, re.MULTILINE))
    there = things(source)
    referred = set(re.findall(r"(?<![\w.\"/])((?:data\.)?(?:aws|random)_\w+\.\w+)(?=[.\[\]),\s])", source))
    assert referred
    assert referred <= there, referred - there


def test_modules_are_given_what_they_ask_for_and_asked_for_what_they_have():
    source = text(FOLDER)
    given = calls(source)
    assert sorted(given) == MODULES
    for name, arguments in given.items():
        module = text(FOLDER / "modules" / name)
        assert arguments == declared("variable", module), name
        asked = set(re.findall(rf"\bmodule\.{name}\.(\w+)", source))
        assert asked <= declared("output", module), name


def test_providers_are_of_one_version_and_every_variable_is_described():
    for folder in (FOLDER, *(FOLDER / "modules" / name for name in MODULES)):
        source = text(folder)
        assert set(re.findall(r'source\s+= "hashicorp/(\w+)"\s+version = "([^"]+)"', source)) <= {
            ("aws", "~> 6.14"),
            ("random", "~> 3.7"),
        }
        assert 'required_version = ">= 1.9, < 2.0"' in source
        blocks = re.findall(r'^(?:variable|output) "\w+" \{\n(.*?)^\}', source, re.MULTILINE | re.DOTALL)
        assert all(re.search(r"^  description = ", block, re.MULTILINE) for block in blocks)
        roots = set(re.findall(r"\b(aws|random)_", source))
        assert roots == set(re.findall(r'source\s+= "hashicorp/(\w+)"', source))


def test_examples_set_variables_that_there_are():
    known = declared("variable", text(FOLDER))
    given = set(re.findall(r"^(\w+)\s*=", (FOLDER / "terraform.tfvars.example").read_text(), re.MULTILINE))
    assert given <= known
    required = {
        name
        for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text(FOLDER), re.MULTILINE | re.DOTALL)
        if not re.search(r"^  default\s+=", body, re.MULTILINE)
    }
    assert required <= given


def planned(tmp_path: Path, **other: str) -> tools.Said:
    """The variables alone, with what the example gives, but for some: their validations ask no provider."""
    for name in ("variables.tf", "terraform.tfvars.example"):
        shutil.copy(FOLDER / name, tmp_path / name.removesuffix(".example"))
    given = [f"-var={name}={value}" for name, value in other.items()]
    return tools.run("terraform", "plan", "-no-color", "-input=false", *given, cwd=tmp_path, variables=ALONE)


def test_the_example_is_valid(tmp_path):
    said = planned(tmp_path)
    assert said.status == 0, said.text


@pytest.mark.parametrize(
    ("types", "architecture", "is_right"),
    [
        ('["m7g.xlarge"]', "x86_64", False),
        ('["m7i.xlarge", "r8gd.large"]', "x86_64", False),
        ('["m7i.xlarge"]', "arm64", False),
        ('["m7g.xlarge", "c8gn.large", "t4g.large", "a1.large"]', "arm64", True),
        ('["m7a.xlarge", "m7i-flex.large", "g5.xlarge", "g4dn.xlarge"]', "x86_64", True),
    ],
)
def test_nodes_are_of_the_architecture_that_is_said(tmp_path, types, architecture, is_right):
    said = planned(tmp_path, node_types=types, node_architecture=architecture)
    assert (said.status == 0) == is_right, said.text
    assert is_right or "are arm64" in said.text


def test_a_provider_s_name_does_not_lead_into_the_vpc():
    """Weir refuses providers at private addresses, which such an endpoint gives to the public name."""
    endpoints = re.search(
        r'"aws_vpc_endpoint" "interface" \{\s+for_each = toset\(\[(.*?)\]\)', text(FOLDER / "modules/network")
    )
    assert endpoints is not None
    assert "secretsmanager" in endpoints[1]
    assert "bedrock" not in endpoints[1]


def test_the_key_names_as_principal_nobody_who_may_not_be_there():
    named = re.findall(r"identifiers = \[(.*)\]", text(FOLDER))
    assert len(named) == 3
    assert not [one for one in named if ":role/" in one or ":user/" in one]
    everybody = re.search(r'identifiers = \["\*"\]\n    \}\n(.*?)\n  \}\n', text(FOLDER), re.DOTALL)
    assert everybody is not None
    assert {"aws:PrincipalArn", "kms:CallerAccount"} <= set(re.findall(r'variable = "([^"]+)"', everybody[1]))


def test_names_hold_in_every_partition_of_aws():
    """GovCloud's and China's ARNs do not begin with arn:aws."""
    for folder in (FOLDER, *(FOLDER / "modules" / name for name in MODULES)):
        assert not re.findall(r"arn:aws[\w-]*:", text(folder)), folder.name


def test_add_ons_take_over_what_a_new_cluster_has():
    blocks = re.findall(r'^resource "aws_eks_addon" "\w+" \{\n(.*?)^\}', text(FOLDER / "modules/cluster"), re.M | re.S)
    assert len(blocks) == 2
    assert all('resolve_conflicts_on_create = "OVERWRITE"' in block for block in blocks)


def test_nodes_are_added_in_the_zone_that_needs_one_by_an_autoscaler_of_this_cluster_alone():
    cluster = text(FOLDER / "modules/cluster")
    assert re.search(r"subnet_ids\s+= \[var\.subnet_ids\[count\.index\]\]", cluster)
    policy = re.search(r'"aws_iam_policy_document" "autoscaler" \{\n(.*?)^\}', cluster, re.M | re.S)
    assert policy is not None
    *_, sizing = policy[1].split("  statement {")
    assert "SetDesiredCapacity" in sizing
    assert "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}" in sizing
    assert not re.search(r"(?:Set|Terminate|Update|Delete|Create)", policy[1].removesuffix(sizing))
    walk = (tools.ROOT / "docs/deploy/kubernetes.md").read_text()
    account = re.search(r'service_account = "([\w-]+)"\s+role_arn\s+= aws_iam_role\.autoscaler', cluster)
    assert account is not None
    assert f"rbac.serviceAccount.name={account[1]}" in walk
    lasts = re.search(r"max-graceful-termination-sec=(\d+)", walk)
    pods = [manifests.template(it)["spec"] for it in manifests.workloads(manifests.rendered("overlays/prod"))]
    assert lasts is not None
    assert int(lasts[1]) >= max(it["terminationGracePeriodSeconds"] for it in pods)


def test_the_cluster_has_a_version_that_manifests_are_judged_by():
    default = re.search(r'variable "kubernetes_version" \{.*?default\s+= "([^"]+)"', text(FOLDER), re.DOTALL)
    assert default is not None
    assert default[1] == manifests.VERSIONS[-1]


def test_a_claim_that_names_no_class_gets_a_disk_on_eks():
    """Since 1.30 EKS makes none of its classes the default."""
    (disk,) = manifests.of_kind(manifests.rendered("overlays/prod"), "StorageClass")
    assert disk["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    assert disk["parameters"]["encrypted"] == "true"


def test_stores_are_protected():
    database, cache = (text(FOLDER / "modules" / name) for name in ("database", "cache"))
    for line in ("multi_az = true", "storage_encrypted = true", "deletion_protection = true"):
        assert re.search(rf"{line.split()[0]}\s+= true", database), line
    assert "prevent_destroy = true" in database
    for name in ("transit_encryption_enabled", "at_rest_encryption_enabled", "automatic_failover_enabled"):
        assert re.search(rf"{name}\s+= true", cache), name


def test_the_cluster_finds_in_the_secret_what_it_fetches():
    held = set(re.findall(r"^    ([A-Z_]+)\s+=", text(FOLDER / "modules" / "secrets"), re.MULTILINE))
    documents = manifests.rendered("overlays/prod")
    (fetched,) = manifests.of_kind(documents, "ExternalSecret")
    assert {entry["remoteRef"]["property"] for entry in fetched["spec"]["data"]} == held
    accounts = {it["metadata"]["name"] for it in manifests.of_kind(documents, "ServiceAccount")}
    trusted = set(re.findall(r"serviceaccount:\$\{var\.namespace\}:([\w-]+)", text(FOLDER / "modules" / "identity")))
    assert trusted <= accounts
    assert "weir-secrets-reader" in trusted


def test_the_vpc_is_the_one_of_the_policies():
    cidr = re.search(r'variable "vpc_cidr" \{.*?default\s+= "([^"]+)"', text(FOLDER), re.DOTALL)
    assert cidr is not None
    for name in ("weir-to-stores", "weir-to-aws"):
        (policy,) = [it for it in manifests.rendered("overlays/prod") if it["metadata"]["name"] == name]
        assert cidr[1] in yaml.safe_dump(policy)
