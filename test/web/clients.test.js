// clients.test.js: the README's examples for other languages, tried.
//
// Guards P8 (the web role's few rights suffice) for each client.  That the README
// shows what is tried here, ../t/documents.pl guards.  From the environment: PGHOST,
// PGPORT.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { here, makeSite, psql } from './testing.js';

const database = 'playevent_clients';
const work = mkdtempSync(join(tmpdir(), 'clients-'));

// Debian's own Python and Go libraries, which other Pythons and Gos don't know
const clients = {
    python: { run: ['/usr/bin/python3', here('clients/play.py')], tooShort: 'None' },
    go: { run: [join(work, 'play')], tooShort: '0' },
};

before(() => {
    makeSite(database);
    execFileSync('go', ['build', '-o', join(work, 'play'), here('clients/play.go')], {
        env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: join(work, 'cache'), CGO_ENABLED: '0' },
    });
});

after(() => rmSync(work, { recursive: true }));

const count = (table, event_id) => psql('owner', database, '-c', `SELECT count(*) FROM ${table} WHERE event_id = '${event_id}'`);

for (const [language, { run, tooShort }] of Object.entries(clients)) {
    const call = (...args) => execFileSync(run[0], [...run.slice(1), ...args], {
        env: { ...process.env, PGUSER: 'web', PGDATABASE: database, PGSSLMODE: 'disable' }, encoding: 'utf8',
    }).trim();

    test(`P8: ${language} records plays and shares as the web role, each once`, () => {
        for (const [kind, what] of [['play', '0.7'], ['share', 'link']]) {
            const event_id = randomUUID();
            const id = call(kind, 'river', what, event_id);
            assert.match(id, /^[1-9]\d*$/);
            assert.equal(call(kind, 'river', what, event_id), id, 'once more: the id of the first');
            assert.equal(count(`${kind}_event`, event_id), '1\n');
        }
        const event_id = randomUUID();
        assert.equal(call('play', 'river', '0.001', event_id), tooShort);
        assert.equal(count('play_event', event_id), '0\n');
    });
}
