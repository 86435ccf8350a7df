// TestDatabase.cs: a database for each test, with three tracks in it, on the server
// that PGHOST and PGPORT name, where PGUSER is a superuser.
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Site.Tests;

// Who made the logs' tables: migrations (SiteContext), or create_log (SnakeContext).
public enum Log { Attached, Created }

public class BothLogs : TheoryData<Log>
{
    public BothLogs()
    {
        Add(Log.Attached);
        Add(Log.Created);
    }
}

public sealed class TestDatabase : IAsyncDisposable
{
    public static readonly Guid[] Ids = [.. Enumerable.Range(1, 9).Select(n => new Guid($"00000000-0000-4000-8000-00000000000{n}"))];

    private static readonly Lazy<Task> roles = new(CreateRolesAsync);
    private static readonly Lazy<Task<string>> attached = new(() => CreateTemplateAsync(Log.Attached));
    private static readonly Lazy<Task<string>> created = new(() => CreateTemplateAsync(Log.Created));
    private static int count;

    private readonly Log log;
    private readonly string name;

    private TestDatabase(Log log, string name)
    {
        this.log = log;
        this.name = name;
    }

    // A database that migrations have made.
    public static async Task<TestDatabase> CreateAsync(Log log)
    {
        var template = await (log == Log.Attached ? attached : created).Value;
        return new(log, await CreateDatabaseAsync(template));
    }

    public static async Task<TestDatabase> CreateEmptyAsync(Log log) =>
        new(log, await CreateDatabaseAsync("template1"));

    public string ConnectionString(string user) => Connection(log, name, user);

    public SiteContext Context(string user = "owner", Action<DbContextOptionsBuilder>? configure = null)
    {
        if (log == Log.Created)
        {
            var snake = new DbContextOptionsBuilder<SnakeContext>();
            SnakeContext.Configure(snake, ConnectionString(user));
            configure?.Invoke(snake);
            return new SnakeContext(snake.Options);
        }
        var site = new DbContextOptionsBuilder<SiteContext>();
        SiteContext.Configure(site, ConnectionString(user));
        configure?.Invoke(site);
        return new(site.Options);
    }

    public async Task ExecuteAsync(string sql, string user = "owner")
    {
        await using var connection = new NpgsqlConnection(ConnectionString(user));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    public async Task<T> ScalarAsync<T>(string sql, string user = "owner")
    {
        await using var connection = new NpgsqlConnection(ConnectionString(user));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    // So many plays are in the log, all counters agree with it, and no trigger is missing.
    public async Task AssertCountedAsync(int plays, string? table = null)
    {
        table ??= log == Log.Attached ? "\"PlayEvents\"" : "play_event";
        Assert.Equal(plays, await ScalarAsync<long>($"SELECT count(*) FROM {table}"));
        Assert.Equal(plays, await ScalarAsync<long>("SELECT coalesce(sum(plays), 0)::bigint FROM play_counter"));
        Assert.Equal(plays, await ScalarAsync<long>("SELECT coalesce(sum(plays), 0)::bigint FROM play_daily"));
        Assert.Equal(0, await ScalarAsync<long>($"SELECT count(*) FROM playevent.verify('{table}')"));
        Assert.True(await ScalarAsync<bool>($"SELECT intact FROM playevent.log WHERE event = '{table}'::regclass"));
    }

    public async ValueTask DisposeAsync()
    {
        NpgsqlConnection.ClearAllPools();
        await AsSuperuserAsync($"DROP DATABASE {name} WITH (FORCE)");
    }

    private static string Connection(Log log, string database, string user) => new NpgsqlConnectionStringBuilder
    {
        Host = Environment.GetEnvironmentVariable("PGHOST") ?? throw new InvalidOperationException("PGHOST names no server"),
        Port = int.Parse(Environment.GetEnvironmentVariable("PGPORT") ?? "5432"),
        Database = database,
        Username = user,
        SearchPath = log == Log.Created ? "public,listening" : null,
        IncludeErrorDetail = true,
        Pooling = false,
    }.ConnectionString;

    private static async Task AsSuperuserAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(
            Connection(Log.Attached, "postgres", Environment.GetEnvironmentVariable("PGUSER") ?? "postgres"));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private static async Task CreateRolesAsync()
    {
        foreach (var role in new[] { "owner", "web", "reader" })
        {
            await AsSuperuserAsync($"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
        }
    }

    private static async Task<string> CreateDatabaseAsync(string template)
    {
        await roles.Value;
        var name = $"dotnet_{Interlocked.Increment(ref count)}";
        await AsSuperuserAsync($"DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        await AsSuperuserAsync($"CREATE DATABASE {name} OWNER owner TEMPLATE {template}");
        return name;
    }

    private static async Task<string> CreateTemplateAsync(Log log)
    {
        var database = await CreateEmptyAsync(log);
        await using var context = database.Context();
        await context.Database.MigrateAsync();
        await database.AddTracksAsync(context);
        return database.name;
    }

    public async Task AddTracksAsync(SiteContext context)
    {
        var release = new Release { Title = "Silver River LP" };
        context.AddRange(
            new Track { EntryKey = "river", Title = "Silver River", Seconds = 200, Release = release },
            new Track { EntryKey = "signal", Title = "Paper Signal", Seconds = 180, Release = release },
            new Track { EntryKey = "loose", Title = "Hollow Static", Seconds = 90 });
        await context.SaveChangesAsync();
    }
}
