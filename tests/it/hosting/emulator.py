"""Deploys a CloudFormation template on an emulator of AWS (moto) and prints what came of it as a line of JSON.

Usage: emulator.py TEMPLATE NAME=VALUE...     The emulator ends with standard input.
"""

import ast
import json
import os
import re
import sys

import boto3
from botocore.config import Config
from moto.cloudformation.parsing import get_model_map
from moto.server import ThreadedMotoServer

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
endpoint = "http://%s:%s" % server.get_host_and_port()
session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
# However slow the machine is, nothing is asked for twice.
patient = Config(connect_timeout=900, read_timeout=900, retries={"total_max_attempts": 1})
client = lambda service: session.client(service, endpoint_url=endpoint, config=patient)

template = json.load(open(sys.argv[1]))


def refers_to(value, names):
    """Whether a part of the template refers to one of these resources."""
    if isinstance(value, dict):
        named = [value.get("Ref"), (value.get("Fn::GetAtt") or [None])[0]]
        named += re.findall(r"\$\{([A-Za-z0-9]+)", str(value.get("Fn::Sub", "")))
        return any(name in names for name in named) or any(refers_to(part, names) for part in value.values())
    return isinstance(value, list) and any(refers_to(part, names) for part in value)


def decided(value):
    """The template where the account has an identity provider already, as the parameter OidcProvider says."""
    if isinstance(value, dict):
        if value.get("Fn::If", [None])[0] == "CreateOidcProvider":
            return value["Fn::If"][2]
        return {name: decided(part) for name, part in value.items()}
    return [decided(part) for part in value] if isinstance(value, list) else value


template = decided(template)
# The emulator knows some of the types only, and fails where something refers to another one.
left_out = {name for name, resource in template["Resources"].items() if resource["Type"] not in get_model_map()}
for kind in ("Resources", "Outputs"):
    template[kind] = {
        name: part for name, part in template[kind].items() if name not in left_out and not refers_to(part, left_out)
    }
parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in (arg.split("=", 1) for arg in sys.argv[2:])]
stack = "registry"
client("cloudformation").create_stack(
    StackName=stack, TemplateBody=json.dumps(template), Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
)
resources = {
    resource["LogicalResourceId"]: resource.get("PhysicalResourceId")
    for resource in client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
}
s3, iam, kms = client("s3"), client("iam"), client("kms")
bucket = resources["Bucket"]
role = iam.get_role(RoleName=resources["Publisher"])["Role"]
# The emulator keeps a policy of a template as the text of a Python value.
policy = iam.get_role_policy(RoleName=resources["Publisher"], PolicyName="publish")["PolicyDocument"]
print(json.dumps({
    "endpoint": endpoint,
    "left_out": sorted(left_out),
    "resources": resources,
    "role": role["Arn"],
    "trust": role["AssumeRolePolicyDocument"],
    "policy": ast.literal_eval(policy) if isinstance(policy, str) else policy,
    "signing_key": [key["KeyArn"] for key in kms.list_keys()["Keys"] if key["KeyId"] == resources["SigningKey"]][0],
    "encryption": s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"],
}), flush=True)
sys.stdin.read()
server.stop()
