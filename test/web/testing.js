// testing.js: what the tests share: a site to test with.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const here = (path) => fileURLToPath(new URL(path, import.meta.url));

// psql, for what a site's owner does by hand; returns what it prints.
export const psql = (user, database, ...args) => execFileSync('psql',
    ['-qXAt', '-v', 'ON_ERROR_STOP=1', '-U', user, '-d', database, ...args],
    { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

// A database with the site in it, on the server that PGHOST tells.
export function makeSite(database, fill = () => psql('owner', database, '-f', here('site.sql'))) {
    for (const role of ['owner', 'web', 'reader']) {
        psql('postgres', 'postgres', '-c',
            `DO $$ BEGIN CREATE ROLE ${role} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$`);
    }
    psql('postgres', 'postgres', '-c', `CREATE DATABASE ${database} OWNER owner`);
    fill();
}
