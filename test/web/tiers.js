// tiers.js: the web tiers that the tests in a browser know, each with a site of its
// own: how to make that, how to start the tier, how to read its log, and what errors
// it brings into that of Postgres.
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { here, makeSite, psql } from './testing.js';

const node = {
    database: 'playevent_web',
    make() {
        makeSite(this.database);
    },
    start(media) {
        return [process.execPath, [here('server.js')], { PGDATABASE: this.database, MEDIA: media, PORT: '0' }];
    },
    listening: /listening at (http:[^"]*)/,
    isComplaint: ({ level }) => level >= 40,
    errors: [],
};

// That of ../dotnet, which has been built; with the logs of create_log, in schemas
// of their own.
const dotnet = {
    database: 'playevent_web_dotnet',
    get program() {
        const builds = here('../dotnet/Site/bin/Release/');
        return `${builds}${readdirSync(builds)[0]}/Site.dll`;
    },
    get settings() {
        const connection = (user) => `Host=${process.env.PGHOST};Port=${process.env.PGPORT};Database=${this.database};Username=${user}`;
        return {
            Log: 'created',
            ConnectionStrings__Owner: connection('owner'),
            ConnectionStrings__Web: connection('web'),
            ConnectionStrings__Reader: connection('reader'),
            Logging__Console__FormatterName: 'json',
        };
    },
    make() {
        process.env.PGOPTIONS = '-c search_path=public,listening,catalog';
        makeSite(this.database, () => {
            execFileSync('dotnet', [this.program, '--migrate'], { env: { ...process.env, ...this.settings }, stdio: ['ignore', 'ignore', 'inherit'] });
            psql('owner', this.database, '-f', here('tracks.sql'));
        });
    },
    start(media) {
        return ['dotnet', [this.program], {
            ...this.settings,
            Urls: 'http://127.0.0.1:0',
            Public: here('public'),
            Media: media,
            ChartJs: here('node_modules/chart.js/dist'),
        }];
    },
    listening: /Now listening on: (http:[^"]*)/,
    isComplaint: ({ LogLevel }) => !['Trace', 'Debug', 'Information'].includes(LogLevel),
    // Entity Framework looks before it makes its table.
    errors: [/relation "__EFMigrationsHistory" does not exist/],
};

export const tiers = { node, dotnet };
