"""An emulator of AWS (moto) with a CloudFront distribution and a bucket; prints its endpoint and the distribution's id as a line of JSON.

For each line of standard input, a list of words in JSON, it prints an answer in JSON: for `list` the paths of each invalidation so
far, with whether the request was signed as botocore signs it; for the words of `aws cloudfront create-invalidation` it carries that
out. The emulator ends with standard input. Requests to CloudFront are signed with the key test, or one of the arguments (ID:SECRET).
"""

import json
import os
import re
import sys

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.cloudfront.responses import CloudFrontResponse
from moto.server import ThreadedMotoServer

for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
secrets = dict(pair.split(":") for pair in ["test:test", *sys.argv[1:]])
signed_well = []
create_invalidation = CloudFrontResponse.create_invalidation


def is_signed_well(response):
    headers = {name.lower(): value for name, value in response.headers.items()}
    key, scope, names, signature = re.search(
        r"Credential=([^/]+)/(\S+), ?SignedHeaders=(\S+), ?Signature=(\S+)", headers["authorization"]
    ).groups()
    body = response.body if isinstance(response.body, bytes) else response.body.encode()
    request = AWSRequest("POST", response.uri, {name: headers[name] for name in names.split(";")}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(key, secrets[key]), "cloudfront", "us-east-1")
    expected = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return scope.endswith("/us-east-1/cloudfront/aws4_request") and signature == expected


def watched(response):
    signed_well.append(is_signed_well(response))
    return create_invalidation(response)


CloudFrontResponse.create_invalidation = watched
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
endpoint = "http://%s:%s" % server.get_host_and_port()
session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
patient = Config(connect_timeout=900, read_timeout=900, retries={"total_max_attempts": 1})
cloudfront = session.client("cloudfront", endpoint_url=endpoint, config=patient)
session.client("s3", endpoint_url=endpoint, config=patient).create_bucket(Bucket="registry-bucket")
distribution = cloudfront.create_distribution(DistributionConfig={
    "CallerReference": "one",
    "Comment": "",
    "Enabled": True,
    "Origins": {"Quantity": 1, "Items": [
        {"Id": "bucket", "DomainName": "registry-bucket.s3.amazonaws.com", "S3OriginConfig": {"OriginAccessIdentity": ""}}
    ]},
    "DefaultCacheBehavior": {"TargetOriginId": "bucket", "ViewerProtocolPolicy": "https-only"},
})["Distribution"]["Id"]
print(json.dumps({"endpoint": endpoint, "distribution": distribution}), flush=True)

for line in sys.stdin:
    words = json.loads(line)
    if words == ["list"]:
        found = cloudfront.list_invalidations(DistributionId=distribution)["InvalidationList"].get("Items", [])
        ids = [each["Id"] for each in sorted(found, key=lambda each: each["CreateTime"])]
        batches = [
            cloudfront.get_invalidation(DistributionId=distribution, Id=id)["Invalidation"]["InvalidationBatch"] for id in ids
        ]
        answer = {"paths": [batch["Paths"]["Items"] for batch in batches], "signed_well": signed_well}
    else:
        assert words[:4] == ["aws", "cloudfront", "create-invalidation", "--distribution-id"] and words[5] == "--paths", words
        batch = {"Paths": {"Quantity": len(words[6:]), "Items": words[6:]}, "CallerReference": str(len(signed_well))}
        answer = cloudfront.create_invalidation(DistributionId=words[4], InvalidationBatch=batch)["Invalidation"]["Id"]
    print(json.dumps(answer), flush=True)
server.stop()
