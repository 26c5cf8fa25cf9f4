#!/usr/bin/env python3
"""Makes the SBOM that cargo-cyclonedx writes one of what is in the binary: `sbom.py SBOM < TREE`, to standard output.

cargo-cyclonedx goes by what cargo resolves for the whole workspace. That has the features that only tests want, and crates that a
feature would want if something else were on: for an auditor, crates that are not there. TREE is what cargo says it builds, a line
`NAME vVERSION` for each. Paths of this machine are taken out, so that the same source has the same SBOM.
"""

import json
import os
import re
import sys


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        sbom = json.load(file)
    built = {tuple(line.split()[:2]) for line in sys.stdin if line.strip()}
    # A path of this machine, in the identity of what is no registry's.
    text = json.dumps(sbom).replace(os.getcwd() + "/", "")
    sbom = json.loads(re.sub(r"download_url=file://[^\"#]*", "download_url=file://.", text))

    root = sbom["metadata"]["component"]
    components = [part for part in sbom["components"] if (part["name"], "v" + part["version"]) in built]
    described = {(part["name"], "v" + part["version"]) for part in [*components, root]}
    if built != described:
        sys.exit(f"these are built and not described: {sorted(built - described)}")
    bare = [part["name"] for part in components if not part.get("licenses") or not part.get("hashes")]
    if bare:
        sys.exit(f"these have no licence or no hash: {bare}")

    kept = {part["bom-ref"] for part in [*components, root]}
    dependencies = [entry for entry in sbom["dependencies"] if entry["ref"] in kept]
    for entry in dependencies:
        if "dependsOn" in entry:
            entry["dependsOn"] = [ref for ref in entry["dependsOn"] if ref in kept]
    sbom["components"], sbom["dependencies"] = components, dependencies
    json.dump(sbom, sys.stdout, indent=2, ensure_ascii=False)
    print()


main()
