// server.js: the web tier of a small music site.  Takes in plays and shares, and
// serves the player's page and the charts.
//
// From the environment: PGHOST, PGPORT, PGDATABASE for Postgres, PORT (default:
// any that is free), MEDIA, the directory with a sound file for each track.
// It ends well on SIGTERM.
import { fileURLToPath } from 'node:url';
import rateLimit from '@fastify/rate-limit';
import files from '@fastify/static';
import Fastify from 'fastify';
import pg from 'pg';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const app = Fastify({
    logger: true,
    bodyLimit: 1024,
    // Behind a proxy, set trustProxy: the rate is limited by the client's address.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
});

// Two roles, a pool of connections each: one may record and cannot read, the
// other may read and cannot record.
function pool(user, max) {
    const connections = new pg.Pool({ user, max, connectionTimeoutMillis: 5000, statement_timeout: 5000 });
    connections.on('error', (error) => app.log.error(error, 'idle connection lost'));
    app.addHook('onClose', () => connections.end());
    return connections;
}
const web = pool('web', 8);
const reader = pool('reader', 2);

// Postgres says what is wrong with a request; nobody outside needs to read it.
app.setErrorHandler((error, request, reply) => {
    if (error.code === '23503') { // foreign_key_violation
        reply.code(404).send({ message: 'no such track' });
    } else if (error.statusCode < 500) {
        reply.code(error.statusCode).send({ message: error.message });
    } else {
        request.log.error(error);
        reply.code(500).send({ message: 'try again later' });
    }
});

//
// Recording
//

// What Postgres would refuse is refused here, without asking it.
const track = { type: 'string', minLength: 1, maxLength: 100, pattern: '^[^\\u0000]+$' };
const event_id = { type: 'string', format: 'uuid' };
const body = (properties) => ({
    body: { type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
});
const record = (properties) => ({
    schema: body(properties),
    config: { rateLimit: { max: 60, timeWindow: '1 minute' } },
});

await app.register(rateLimit, { global: false });

// The client says how far it was heard; what that makes it, and whether it is a
// play at all, is the database's rule.
app.post('/api/event/play', record({ track, heard: { type: 'number', minimum: 0, maximum: 1 }, event_id }),
    async (request, reply) => {
        const { track, heard, event_id } = request.body;
        await web.query({
            name: 'record play',
            text: 'SELECT record_play_heard($1, $2, event_id => $3)',
            values: [track, heard, event_id],
        });
        return reply.code(204).send();
    });

app.post('/api/event/share', record({ track, channel: { enum: ['link', 'native', 'embed'] }, event_id }),
    async (request, reply) => {
        const { track, channel, event_id } = request.body;
        await web.query({
            name: 'record share',
            text: 'SELECT record_share($1, $2, event_id => $3)',
            values: [track, channel, event_id],
        });
        return reply.code(204).send();
    });

//
// Reading
//

app.get('/api/tracks', async () => {
    const { rows } = await reader.query(`SELECT entry_key, track.title, release.title AS release
                                           FROM track LEFT JOIN release ON release.id = release_id
                                          WHERE NOT is_deleted ORDER BY release_id, track.title`);
    return rows;
});

// What pages ask for again and again is asked of Postgres once a second, for all of
// them: it makes no difference to the database how many are looking.
const answers = new Map();
function shared({ url }, read) {
    if (!answers.has(url)) {
        answers.set(url, read().finally(() => setTimeout(() => answers.delete(url), 1000).unref()));
    }
    return answers.get(url);
}

// Of all tracks that a page lists, by an index probe each.  Whoever lists more than
// some hundred asks for those that are in sight.
app.get('/api/plays', (request) => shared(request, async () => {
    const { rows } = await reader.query({
        name: 'plays',
        text: `SELECT track_entry_key AS entry_key, plays::int FROM play_by_track
                WHERE track_entry_key = ANY (ARRAY(SELECT entry_key FROM track WHERE NOT is_deleted))`,
    });
    return rows;
}));

// The last days, today included.  Days are UTC's, as the log's are.
const days = { type: 'string', pattern: '^[1-9][0-9]{0,2}$', default: '30' };
const today = "(now() AT TIME ZONE 'UTC')::date";

app.get('/api/charts/series', {
    schema: {
        querystring: {
            type: 'object',
            properties: { days, track, step: { enum: ['day', 'week', 'month'], default: 'day' } },
        },
    },
}, (request) => shared(request, async () => {
    const { days, track, step } = request.query;
    const { rows } = await reader.query({
        name: 'series',
        text: `SELECT period::text, plays::int
                 FROM playevent.series('play_event', ${today} - $1::int + 1, ${today},
                          track_entry_key => $2, step => $3)`,
        values: [days, track, step],
    });
    return rows;
}));

const top = (name, text) => app.get(`/api/charts/${name}`, {
    schema: { querystring: { type: 'object', properties: { days } } },
}, (request) => shared(request, async () => {
    const { rows } = await reader.query({ name, text, values: [request.query.days] });
    return rows;
}));

// Some of them may be deleted.
top('top', `SELECT entry_key, title, plays::int
              FROM playevent.top('play_event', ${today} - $1::int + 1, ${today}, lim => 20) AS top
              JOIN track ON entry_key = key
             WHERE NOT is_deleted ORDER BY rank, title LIMIT 10`);
top('releases', `SELECT title, plays::int
                   FROM playevent.top('play_event', ${today} - $1::int + 1, ${today}, lim => 10, by => 'release') AS top
                   JOIN release ON id::text = key
                  ORDER BY rank, title`);

app.register(files, { root: here('public') });
app.register(files, { root: process.env.MEDIA, prefix: '/media/', decorateReply: false });
app.register(files, { root: here('node_modules/chart.js/dist'), prefix: '/chart.js/', decorateReply: false });

process.once('SIGTERM', () => app.close());
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 0) });
