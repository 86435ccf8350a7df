// The site's database is the one that PGHOST and the like tell.
module.exports = { client: 'pg', connection: {}, migrations: { directory: `${__dirname}/migrations` } };
