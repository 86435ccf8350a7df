// test.js: a site with knex, as the owner of its database.  From the
// environment: PGHOST, PGPORT, PGUSER, PGDATABASE.
const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, before, test } = require('node:test');
const knex = require('knex')(require('./knexfile.js'));

const event_id = randomUUID();
const play = { track_entry_key: 'river', bucket: 'most', event_id };

before(async () => {
    await knex.migrate.latest();
    await knex('release').insert({ id: 7, title: 'Silver River LP' });
    await knex('track').insert([{ entry_key: 'river', release_id: 7 }, { entry_key: 'loose' }]);
});

after(() => knex.destroy());

test('P2: knex: the release is the track\'s, and a loose track\'s play has none', async () => {
    const recorded = await knex('play_event').insert(play).returning(['id', 'release_id']);
    const loose = await knex('play_event').insert({ track_entry_key: 'loose', bucket: 'complete' }).returning(['id', 'release_id']);
    assert.deepEqual([...recorded, ...loose], [{ id: '1', release_id: '7' }, { id: '2', release_id: null }]);
});

test('P3: knex: a retry is no second play', async () => {
    const { rowCount } = await knex('play_event').insert(play).onConflict().ignore(); // leaves out a play that is there
    assert.equal(rowCount, 0);
    const { rows } = await knex.raw('SELECT record_play_heard(?, ?, ?) AS id', ['river', 0.97, event_id]);
    assert.deepEqual(rows, [{ id: '1' }]);
});

test('P9: knex: an unknown track is refused', async () => {
    await assert.rejects(knex('play_event').insert({ track_entry_key: 'nowhere', bucket: 'most' }), { code: '23503' });
});

test('P1: knex: what would change the log is refused', async () => {
    const plays = () => knex('play_event');
    for (const change of [plays().update({ bucket: 'partial' }), plays().delete(), plays().truncate()]) {
        await assert.rejects(change, { code: '23001', message: /table "play_event" is append-only/ });
    }
});

test('P3: knex: views and top say what was played, and it is exact', async () => {
    assert.deepEqual(await knex('play_by_track').orderBy('track_entry_key'), [
        { track_entry_key: 'loose', partial: '0', most: '0', complete: '1', plays: '1' },
        { track_entry_key: 'river', partial: '0', most: '1', complete: '0', plays: '1' }]);
    const { rows } = await knex.raw('SELECT key, plays FROM playevent.top(?, lim => ?) ORDER BY key', ['play_event', 2]);
    assert.deepEqual(rows, [{ key: 'loose', plays: '1' }, { key: 'river', plays: '1' }]);
    assert.deepEqual((await knex.raw('SELECT * FROM playevent.verify(?)', ['play_event'])).rows, []);
});

test('P10: knex: migrations go back and forth', async () => {
    await knex.migrate.down();
    await knex('play_event').where({ track_entry_key: 'loose' }).delete();
    assert.deepEqual(await knex('play_event').select('release_id'), [{ release_id: '7' }]);
    await knex.migrate.latest();
    assert.deepEqual(await knex('play_by_track').select('track_entry_key', 'plays'), [{ track_entry_key: 'river', plays: '1' }]);
    await knex.migrate.rollback(undefined, true);
    assert.deepEqual(await knex('pg_tables').where({ schemaname: 'public' }).whereNot('tablename', 'like', 'knex%'), []);
});
