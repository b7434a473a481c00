#!/usr/bin/env python3
"""Counts downloads in access logs: what `tfreg downloads --by version,platform,client,day --csv` is compared with.

Usage: count-logs.py FOLDER...

Written from the formats' documentation with regular expressions, and with nothing of tfreg's.
"""

import collections
import gzip
import json
import os
import re
import sys
from urllib.parse import unquote

S3 = re.compile(
    r'(\S+) (\S+) \[(\d\d)/(\w{3})/(\d{4}):\d\d:\d\d:\d\d \+0000\] (\S+) (\S+) (\S+) (\S+) (\S+) (-|".*?") (\d{3}|-) (\S+) (\S+) (\S+) '
    r'(\S+) (\S+) (-|".*?") (-|".*?")( .*)?$'
)
MONTHS = {m: n for n, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
ZIP = re.compile(
    r"(?:^|/)store/([a-z0-9-]+)/([a-z0-9-]+)/([^/]+)/[0-9a-f]{16}/terraform-provider-\2_\3_([a-z0-9]+_[a-z0-9]+)\.zip$"
)
counts = collections.Counter()
malformed = 0


def client(agent):
    for text, name in (("OpenTofu/", "OpenTofu"), ("Renovate", "Renovate"), ("Terraform/", "Terraform")):
        if text in agent:
            return name
    return "other"


def count(day, method, path, status, first, agent):
    found = ZIP.search(unquote(unquote(path)))
    if method == "GET" and found and not agent.startswith("tfreg/") and (status == "200" or status == "206" and first):
        namespace, name, version, platform = found.groups()
        counts[f"{namespace}/{name}", version, platform, client(agent), day] += 1


def s3(line):
    m = S3.match(line)
    if not m:
        return False
    day = f"{m[5]}-{MONTHS[m[4]]:02}-{m[3]}"
    agent = m[19].strip('"')
    if m[9] == "REST.GET.OBJECT" and not agent.startswith("Amazon CloudFront"):
        count(day, "GET", m[10], m[12], m[14] == m[15], agent)
    return True


def fields(row):
    count(row["date"], row["cs-method"], row["cs-uri-stem"], row["sc-status"], row["sc-range-start"] == "0", row["cs(User-Agent)"])
    return True


def main():
    global malformed
    for folder in sys.argv[1:]:
        for path, _, names in os.walk(folder):
            for name in names:
                file = os.path.join(path, name)
                columns = None
                with (gzip.open if name.endswith(".gz") else open)(file, "rt") as lines:
                    for line in lines:
                        line = line.rstrip("\n")
                        if line.startswith("#Fields: "):
                            columns = line.split()[1:]
                        if not line or line.startswith("#"):
                            continue
                        good = False
                        if line.startswith("{"):
                            try:
                                good = fields(json.loads(line))
                            except json.JSONDecodeError:
                                pass
                        elif columns:
                            values = line.split("\t")
                            good = len(values) == len(columns) and fields(dict(zip(columns, values)))
                        else:
                            good = s3(line)
                        malformed += not good
    print("provider,version,platform,client,day,downloads")
    for key, number in sorted(counts.items()):
        print(",".join([*key, str(number)]))
    print(f"malformed {malformed}", file=sys.stderr)


main()
