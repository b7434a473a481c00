#!/usr/bin/env python3
"""Access logs as S3 and CloudFront write them, with requests of a registry that never was.

Usage: make-logs.py FOLDER [LINES [SEED]]

Writes into FOLDER: s3/ (server access logs), cdn/ (CloudFront standard logs: tabs, gzip) and cdn-v2/ (the same, version 2:
JSON). LINES is how many requests there are in all (default 150); the same numbers give the same lines. The formats are those of
"Amazon S3 server access log format" (S3 User Guide) and "Standard logging reference" (CloudFront Developer Guide).
"""

import gzip
import hashlib
import io
import json
import os
import random
import sys
from urllib.parse import quote

PROVIDERS = [("acme", "sample", ""), ("acme", "my-cloud", ""), ("team-a", "sample", "tf registry/")]
VERSIONS = ["1.2.0", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]
PLATFORMS = ["linux_amd64", "linux_arm64", "darwin_arm64", "windows_amd64"]
AGENTS = [
    ("Terraform/1.11.4 (+https://www.terraform.io)", 50),
    ("HashiCorp Terraform/1.5.7 (+https://www.terraform.io)", 5),
    ("OpenTofu/1.10.0 (+https://www.opentofu.org)", 25),
    ("RenovateBot/41.0.0 (https://github.com/renovatebot/renovate)", 8),
    ("curl/8.5.0", 5),
    ("Go-http-client/2.0", 5),
    ("tfreg/0.1.0", 2),
]
OWNER = "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query "
    "cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol "
    "ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte "
    "x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end"
).split()


def request(rng, number, of):
    """One request; `number` of `of` decides on its time."""
    namespace, name, prefix = rng.choices(PROVIDERS, [70, 20, 10])[0]
    version = rng.choices(VERSIONS, [10, 15, 40, 5, 30])[0]
    platform = rng.choices(PLATFORMS, [60, 15, 15, 10])[0]
    digest = hashlib.sha256(f"{namespace}{name}{version}{platform}".encode()).hexdigest()[:16]
    zip_key = f"{prefix}store/{namespace}/{name}/{version}/{digest}/terraform-provider-{name}_{version}_{platform}.zip"
    document = f"{prefix}registry/{namespace}/{name}/{version}/download/{platform.replace('_', '/')}"
    index = f"{prefix}registry/{namespace}/{name}/versions"
    size = 20_000_000 + int(digest[:4], 16)
    seconds = number * 5 * 86400 // of
    day, second = 28 + seconds // 86400, seconds % 86400
    month, day = (1, day) if day <= 31 else (2, day - 31)
    r = {
        "date": (2026, month, day),
        "time": f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}",
        "method": "GET", "key": zip_key, "status": 200, "size": size, "sent": size, "start": "-",
        "agent": rng.choices([a for a, _ in AGENTS], [w for _, w in AGENTS])[0],
        "address": f"192.0.2.{rng.randrange(1, 255)}", "id": f"{rng.getrandbits(64):016X}", "operation": None, "cdn": False,
    }
    kind = rng.randrange(100)
    if kind < 50:
        pass
    elif kind < 54:
        r.update(status=206, start="0", sent=size if rng.random() < 0.5 else 1000)
    elif kind < 57:
        r.update(status=206, start=str(size - 1000), sent=1000)
    elif kind < 60:
        r.update(method="HEAD", sent=0)
    elif kind < 75:
        r.update(key=rng.choice([document, index, ".well-known/terraform.json"]), size=900, sent=900)
    elif kind < 78:
        r.update(key=index, status=304, sent=0, size=900)
    elif kind < 83:
        vain = [f"registry/acme/{rng.choice(['nothing', 'sampel'])}/versions", document.replace(version, "3.0.0"),
                zip_key.replace(version, "1.2.1"), "favicon.ico", "v1/providers/acme/sample/versions"]
        r.update(key=rng.choice(vain), status=404, size=None, sent=300)
    elif kind < 86:
        r.update(status=rng.choice([403, 503, 0]), size=None, sent=200)
    elif kind < 92:
        r.update(cdn=True)
    elif kind < 94:
        r.update(operation="REST.PUT.OBJECT", method="PUT")
    elif kind < 96:
        r.update(operation="REST.GET.BUCKETVERSIONS", key=None)
    return r


def s3_line(r):
    year, month, day = r["date"]
    encoded = quote(r["key"], safe="/") if r["key"] else None
    # A key is encoded once more than the request has it.
    key = quote(encoded, safe="/") if encoded else "-"
    operation = r["operation"] or f"REST.{r['method']}.OBJECT"
    shown = lambda number: str(number) if number else "-"
    code = {403: "AccessDenied", 404: "NoSuchKey", 503: "SlowDown"}.get(r["status"], "-")
    agent = "Amazon CloudFront" if r["cdn"] else r["agent"]
    requester = "svc:cloudfront.amazonaws.com" if r["cdn"] else "-"
    return (
        f"{OWNER} registry-bucket [{day:02}/{MONTHS[month - 1]}/{year}:{r['time']} +0000] {r['address']} {requester} {r['id']} "
        f"{operation} {key} \"{r['method']} /{encoded or '?versions'} HTTP/1.1\" {r['status'] or '-'} {code} {shown(r['sent'])} "
        f"{shown(r['size'])} 42 11 \"-\" \"{agent}\" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/XV/VLi31234= "
        f"- TLS_AES_128_GCM_SHA256 - registry-bucket.s3.us-east-1.amazonaws.com TLSv1.3 - -"
    )


def cdn_fields(r):
    year, month, day = r["date"]
    values = dict.fromkeys(FIELDS, "-")
    values.update({
        "date": f"{year}-{month:02}-{day:02}", "time": r["time"], "x-edge-location": "FRA56-P2", "sc-bytes": str(r["sent"] + 400),
        "c-ip": r["address"], "cs-method": r["method"], "cs(Host)": "d111111abcdef8.cloudfront.net",
        "cs-uri-stem": "/" + quote(r["key"] or "", safe="/"), "sc-status": f"{r['status']:03}",
        # CloudFront encodes what separates fields, and little else.
        "cs(User-Agent)": r["agent"].replace(" ", "%20"), "x-edge-result-type": "Hit", "x-edge-request-id": r["id"] + "==",
        "x-host-header": "registry.example.com", "cs-protocol": "https", "cs-bytes": "321", "time-taken": "0.010",
        "ssl-protocol": "TLSv1.3", "ssl-cipher": "TLS_AES_128_GCM_SHA256", "x-edge-response-result-type": "Hit",
        "cs-protocol-version": "HTTP/2.0", "c-port": "11040", "time-to-first-byte": "0.010", "x-edge-detailed-result-type": "Hit",
        "sc-content-type": "application/zip", "sc-content-len": str(r["sent"]), "sc-range-start": r["start"],
    })
    return values


def write(path, lines, compress):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if compress:
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as out, io.TextIOWrapper(out, newline="\n") as text:
            text.writelines(line + "\n" for line in lines)
    else:
        with open(path, "w", newline="\n") as text:
            text.writelines(line + "\n" for line in lines)


def main():
    folder = sys.argv[1]
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 150
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    each = lines // 6
    for file in range(2):
        def some(make):
            for number in range(each):
                yield make(request(rng, number + file * each, 2 * each))
                if number % 1000 == 7:
                    yield rng.choice(["", "cut of", f"{OWNER} registry-bucket [", "{\"date\": \"2026-"])
        name = f"2026-01-28-00-00-0{file}-{rng.getrandbits(64):016X}"
        write(f"{folder}/s3/{name}", some(s3_line), False)
        header = ["#Version: 1.0", "#Fields: " + " ".join(FIELDS)]
        rows = ("\t".join(row.values()) if isinstance(row, dict) else row for row in some(cdn_fields))
        write(f"{folder}/cdn/EDFDVBD6EXAMPLE.2026-01-28-0{file}.a1b2c3d4.gz", (l for part in (header, rows) for l in part), True)
        rows = (json.dumps(row) if isinstance(row, dict) else row for row in some(cdn_fields))
        write(f"{folder}/cdn-v2/EDFDVBD6EXAMPLE.2026-01-28-0{file}.e5f6a7b8.gz", rows, True)


main()
