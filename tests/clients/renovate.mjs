// What Renovate makes of a Terraform configuration: reads main.tf in the current folder with its terraform manager, looks up the
// releases of the provider there, and updates the lock file to the newest, as it does for a pull request. Writes nothing; prints JSON.
//
//     node renovate.mjs FOLDER        FOLDER/node_modules/renovate is the npm package

import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const renovate = path.resolve(process.argv[2], 'node_modules/renovate');
const part = async (name) => {
  const loaded = await import(path.join(renovate, 'dist', name));
  // Up to 41 its modules are CommonJS.
  return loaded.default ?? loaded;
};

// In TMPDIR, which the caller removes.
const cache = await mkdtemp(path.join(tmpdir(), 'renovate-'));
const { GlobalConfig } = await part('config/global.js');
GlobalConfig.set({ localDir: process.cwd(), cacheDir: cache });
(await part('proxy.js')).bootstrap();

const terraform = await part('modules/manager/terraform/index.js');
const { getPkgReleases } = await part('modules/datasource/index.js');
const file = await readFile('main.tf', 'utf8');
const extracted = await terraform.extractPackageFile(file, 'main.tf', {});
const [dependency] = extracted.deps;
const found = await getPkgReleases({ ...dependency, versioning: 'hashicorp' });
const releases = (found?.releases ?? []).map((release) => release.version);
const newest = releases.at(-1);
const updated = newest && (await terraform.updateArtifacts({
  packageFileName: 'main.tf',
  updatedDeps: [{ ...dependency, newVersion: newest, newValue: newest }],
  newPackageFileContent: file.replace(dependency.currentValue, newest),
  config: {},
}));
const version = JSON.parse(await readFile(path.join(renovate, 'package.json'), 'utf8')).version;
console.log(JSON.stringify({
  version,
  dependency,
  releases,
  error: updated?.[0].artifactError?.stderr ?? null,
  lock: updated?.[0].file?.contents ?? null,
}));
