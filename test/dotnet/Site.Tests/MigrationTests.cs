// MigrationTests.cs: migrations make logs, take them away, are run again, and later
// ones change what is under a log.  P3 (exact), P10 (exact after ordinary DDL, or an
// error that says what to do).
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql;
using Site.Migrations;

namespace Site.Tests;

public class MigrationTests
{
    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_migrations_run_twice_down_and_up_again(Log log)
    {
        await using var database = await TestDatabase.CreateEmptyAsync(log);
        await using var context = database.Context();
        for (var round = 0; round < 2; round++)
        {
            await context.Database.MigrateAsync();
            await context.Database.MigrateAsync();
            await database.AddTracksAsync(context);
            await context.PlayEvents.AddAsync(new() { TrackEntryKey = "river", Bucket = PlayBucket.Complete });
            await context.SaveChangesAsync();
            await database.AssertCountedAsync(1);

            await context.Database.MigrateAsync(Migration.InitialDatabase);
            context.ChangeTracker.Clear();
            Assert.Equal(0, await database.ScalarAsync<long>("""
                SELECT (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'v') AND relname <> '__EFMigrationsHistory'
                           AND relnamespace::regnamespace::text IN ('public', 'listening', 'catalog'))
                     + (SELECT count(*) FROM pg_proc WHERE pronamespace::regnamespace::text IN ('public', 'listening'))
                """));
        }
    }

    [Fact]
    public async Task P3_a_migration_takes_the_log_away_and_brings_it_back_and_the_plays_stay()
    {
        await using var database = await TestDatabase.CreateAsync(Log.Attached);
        await using var context = database.Context();
        context.Add(new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Complete });
        await context.SaveChangesAsync();
        await context.Database.MigrateAsync("20261101000000_Tables");
        context.Add(new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Complete });
        await context.SaveChangesAsync();
        await context.Database.MigrateAsync("20261101000001_CountPlays");
        await database.AssertCountedAsync(2);
    }

    // What `dotnet ef migrations script --idempotent` prints
    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_an_idempotent_script_runs_twice(Log log)
    {
        await using var database = await TestDatabase.CreateEmptyAsync(log);
        await using var context = database.Context();
        var script = context.GetService<IMigrator>().GenerateScript(options: MigrationsSqlGenerationOptions.Idempotent);
        await database.ExecuteAsync(script);
        await database.ExecuteAsync(script);
        Assert.Empty(await context.Database.GetPendingMigrationsAsync());
        await database.AddTracksAsync(context);
        context.Add(new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Complete });
        await context.SaveChangesAsync();
        await database.AssertCountedAsync(1);
    }

    // EnsureCreated runs no migration, so it makes tables and no log.
    [Fact]
    public async Task P10_after_EnsureCreated_attach_log_counts_what_is_there()
    {
        await using var database = await TestDatabase.CreateEmptyAsync(Log.Attached);
        await using var context = database.Context();
        Assert.True(await context.Database.EnsureCreatedAsync());
        await database.AddTracksAsync(context);
        context.Add(new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Most });
        await context.SaveChangesAsync();
        var missing = await Assert.ThrowsAsync<PostgresException>(() => context.TrackPlays.ToListAsync());
        Assert.Equal(PostgresErrorCodes.UndefinedTable, missing.SqlState);

        foreach (var command in context.GetService<IMigrationsSqlGenerator>().Generate(new CountPlays().UpOperations))
        {
            await database.ExecuteAsync(command.CommandText);
        }
        await database.AssertCountedAsync(1);
        Assert.Equal(1, (await context.TrackPlays.SingleAsync()).Most);
    }

    // MapEnum makes the enum, which create_log would make.
    [Fact]
    public async Task P10_after_EnsureCreated_create_log_says_what_is_in_its_way()
    {
        await using var database = await TestDatabase.CreateEmptyAsync(Log.Created);
        await using var context = database.Context();
        Assert.True(await context.Database.EnsureCreatedAsync());
        var taken = await Assert.ThrowsAsync<PostgresException>(() => database.ExecuteAsync(
            "SET search_path = listening; SELECT playevent.create_log('play', track => 'catalog.track')"));
        Assert.Equal(PostgresErrorCodes.DuplicateObject, taken.SqlState);
        Assert.Equal("\"play_bucket\" exists already in schema \"listening\"", taken.MessageText);
    }

    private enum Outcome { GoesOn, HasToBeAttachedAgain, IsRefused }

    private static readonly Dictionary<string, (Outcome, Action<ModelBuilder>)> changes = new()
    {
        ["a column is added to the log"] = (Outcome.GoesOn,
            model => model.Entity<PlayEvent>().Property<string?>("UserAgent")),
        ["a column with a default is added to the log"] = (Outcome.GoesOn,
            model => model.Entity<PlayEvent>().Property<int>("Source").HasDefaultValue(1)),
        ["the log is renamed"] = (Outcome.GoesOn,
            model => model.Entity<PlayEvent>().ToTable("Listens")),
        ["the log goes to another schema"] = (Outcome.GoesOn,
            model => model.Entity<PlayEvent>().ToTable("PlayEvents", "listening")),
        ["tracks have longer keys"] = (Outcome.GoesOn,
            model => model.Entity<Track>().Property(t => t.EntryKey).HasMaxLength(200)),
        ["the table of tracks is renamed"] = (Outcome.HasToBeAttachedAgain,
            model => model.Entity<Track>().ToTable("Songs")),
        ["the table of tracks goes to another schema"] = (Outcome.HasToBeAttachedAgain,
            model => model.Entity<Track>().ToTable("Tracks", "catalog")),
        ["columns of tracks are renamed"] = (Outcome.HasToBeAttachedAgain,
            model => model.Entity<Track>(track =>
            {
                track.Property(t => t.EntryKey).HasColumnName("Slug");
                track.Property(t => t.ReleaseId).HasColumnName("AlbumId");
                track.Property(t => t.IsDeleted).HasColumnName("IsGone");
            })),
        ["columns of the log are renamed"] = (Outcome.IsRefused,
            model => model.Entity<PlayEvent>().Property(p => p.TrackEntryKey).HasColumnName("Song")),
    };

    public static TheoryData<string> Changes => [.. changes.Keys];

    // The operations are those that `dotnet ef migrations add` would write down.
    [Theory, MemberData(nameof(Changes))]
    public async Task P10_in_a_later_migration(string what)
    {
        var (outcome, change) = changes[what];
        await using var database = await TestDatabase.CreateAsync(Log.Attached);
        await using var before = database.Context();
        before.Add(new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Most });
        await before.SaveChangesAsync();

        var options = new DbContextOptionsBuilder<SiteContext>();
        SiteContext.Configure(options, database.ConnectionString("owner"));
        await using var after = new LaterContext(options.Options, change);
        var operations = before.GetService<IMigrationsModelDiffer>().GetDifferences(Relational(before), Relational(after));
        Assert.NotEmpty(operations);
        foreach (var command in after.GetService<IMigrationsSqlGenerator>()
            .Generate(operations, after.GetService<IDesignTimeModel>().Model))
        {
            await database.ExecuteAsync(command.CommandText);
        }

        if (outcome != Outcome.GoesOn)
        {
            after.Add(new PlayEvent { TrackEntryKey = "signal", Bucket = PlayBucket.Most });
            var refused = await Assert.ThrowsAsync<DbUpdateException>(() => after.SaveChangesAsync());
            var error = Assert.IsType<PostgresException>(refused.InnerException);
            Assert.Contains(error.SqlState, new[] { PostgresErrorCodes.UndefinedTable, PostgresErrorCodes.UndefinedColumn });
            Assert.Equal("Undo the change that led here, or call playevent.attach_log for table \"PlayEvents\" again.", error.Hint);
            after.ChangeTracker.Clear();
        }
        if (outcome == Outcome.IsRefused)
        {
            return;
        }
        if (outcome == Outcome.HasToBeAttachedAgain)
        {
            await database.ExecuteAsync(AttachPlays(after));
        }
        var play = new PlayEvent { TrackEntryKey = "signal", Bucket = PlayBucket.Most };
        after.Add(play);
        await after.SaveChangesAsync();
        Assert.Equal(1, play.ReleaseId);
        await database.AssertCountedAsync(2, Name(after.Model.FindEntityType(typeof(PlayEvent))!));
        Assert.NotEqual(0, await database.ScalarAsync<long>($"SELECT record_play_heard('river', 1, '{TestDatabase.Ids[0]}')", "web"));
    }

    private static string Name(IEntityType entity) => $"{entity.GetSchema() ?? "public"}.\"{entity.GetTableName()}\"";

    // The call in CountPlays, with the names of a model
    private static string AttachPlays(DbContext context)
    {
        var track = context.Model.FindEntityType(typeof(Track))!;
        string Column(string property) => track.FindProperty(property)!.GetColumnName();
        return $$"""
            SELECT playevent.attach_log('"PlayEvents"', name => 'play',
                key_column => 'TrackEntryKey', release_column => 'ReleaseId',
                kind_column => 'Bucket', kinds => '{0,1,2}', kind_names => '{partial,most,complete}',
                event_id_column => 'EventId', listener_column => 'AnonId', created_column => 'CreatedAt',
                track => '{{Name(track)}}', track_key => '{{Column("EntryKey")}}', track_release => '{{Column("ReleaseId")}}',
                track_deleted => '{{Column("IsDeleted")}}', unknown_track => 'reject',
                ingest_role => 'web', reader_role => 'reader')
            """;
    }

    private static IRelationalModel Relational(DbContext context) =>
        context.GetService<IDesignTimeModel>().Model.GetRelationalModel();

    private sealed class LaterContext(DbContextOptions<SiteContext> options, Action<ModelBuilder> change) : SiteContext(options)
    {
        protected override void OnModelCreating(ModelBuilder model)
        {
            base.OnModelCreating(model);
            change(model);
        }

        // Each has a model of its own.
        protected override void OnConfiguring(DbContextOptionsBuilder options) =>
            options.ReplaceService<IModelCacheKeyFactory, ModelPerChange>();

        public object Key => change;
    }

    private sealed class ModelPerChange : IModelCacheKeyFactory
    {
        public object Create(DbContext context, bool designTime) => (((LaterContext)context).Key, designTime);
    }
}
