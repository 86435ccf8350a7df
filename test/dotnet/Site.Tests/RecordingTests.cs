// RecordingTests.cs: what Npgsql sends without Entity Framework, and reading by LINQ.
// P3 (exact), P8 (few rights are enough).
using Microsoft.EntityFrameworkCore;
using Npgsql;
using NpgsqlTypes;

namespace Site.Tests;

public class RecordingTests
{
    private static NpgsqlDataSource Source(TestDatabase database, Log log, string user, bool pooled = false)
    {
        var builder = new NpgsqlDataSourceBuilder(database.ConnectionString(user));
        builder.ConnectionStringBuilder.Pooling = pooled;
        builder.ConnectionStringBuilder.MaxPoolSize = 1;
        builder.ConnectionStringBuilder.MaxAutoPrepare = 8;
        if (log == Log.Created)
        {
            builder.MapEnum<PlayBucket>("listening.play_bucket");
        }
        return builder.Build();
    }

    // As the log has them
    private static object Buckets(Log log, params PlayBucket[] buckets) =>
        log == Log.Created ? buckets : buckets.Select(bucket => (int)bucket).ToArray();

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P8_a_play_is_recorded_once_by_how_much_was_heard(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var source = Source(database, log, "web");
        var recorder = new PlayRecorder(source);
        var id = await recorder.RecordPlayAsync("river", 0.97, TestDatabase.Ids[0]);
        Assert.NotNull(id);
        Assert.Equal(id, await recorder.RecordPlayAsync("river", 0.97, TestDatabase.Ids[0]));
        Assert.Null(await recorder.RecordPlayAsync("river", 0.01, TestDatabase.Ids[1]));
        await database.AssertCountedAsync(1);
        await using var context = database.Context("reader");
        Assert.Equal(1, (await context.TrackPlays.SingleAsync()).Complete);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P8_a_server_may_send_the_kind_itself(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var source = Source(database, log, "web");
        await using var command = source.CreateCommand("SELECT record_play($1, $2, event_id => $3)");
        command.Parameters.Add(new() { Value = "river" });
        command.Parameters.Add(new() { Value = log == Log.Created ? PlayBucket.Most : (int)PlayBucket.Most });
        command.Parameters.Add(new() { Value = TestDatabase.Ids[0] });
        var id = Assert.IsType<long>(await command.ExecuteScalarAsync());
        Assert.Equal(id, await command.ExecuteScalarAsync());
        await database.AssertCountedAsync(1);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task Recording_is_one_prepared_statement(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var source = Source(database, log, "web", pooled: true);
        var recorder = new PlayRecorder(source);
        for (var n = 0; n < 7; n++)
        {
            await recorder.RecordPlayAsync("river", 0.97, TestDatabase.Ids[n]);
        }
        await using var command = source.CreateCommand("SELECT array_agg(statement) FROM pg_prepared_statements");
        Assert.Equal(["SELECT record_play_heard($1, $2, event_id => $3)"], Assert.IsType<string[]>(await command.ExecuteScalarAsync()));
        await database.AssertCountedAsync(7);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P8_a_batch_of_arrays_has_a_receipt_for_each_play(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var source = Source(database, log, "web");
        await using var command = source.CreateCommand("SELECT status FROM record_plays($1, $2, $3) ORDER BY ord");
        command.Parameters.Add(new() { Value = new[] { "river", "signal", null, "river", "nowhere" } });
        command.Parameters.Add(new() { Value = Buckets(log, PlayBucket.Most, PlayBucket.Complete, PlayBucket.Most, PlayBucket.Most, PlayBucket.Most) });
        command.Parameters.Add(new() { Value = new Guid?[] { TestDatabase.Ids[0], TestDatabase.Ids[1], null, TestDatabase.Ids[0], TestDatabase.Ids[2] } });
        var statuses = new List<string>();
        await using (var reader = await command.ExecuteReaderAsync())
        {
            while (await reader.ReadAsync())
            {
                statuses.Add(reader.GetString(0));
            }
        }
        Assert.Equal(["recorded", "recorded", "rejected", "duplicate", "rejected"], statuses);
        await database.AssertCountedAsync(2);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_COPY_by_a_binary_import_is_counted(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var source = Source(database, log, "web");
        await using var connection = await source.OpenConnectionAsync();
        await using (var import = await connection.BeginBinaryImportAsync(log == Log.Created
            ? "COPY play_event (track_entry_key, bucket, event_id) FROM STDIN (FORMAT binary)"
            : """COPY "PlayEvents" ("TrackEntryKey", "Bucket", "EventId") FROM STDIN (FORMAT binary)"""))
        {
            for (var n = 0; n < 5000; n++)
            {
                var bucket = (PlayBucket)(n % 3);
                await import.StartRowAsync();
                await import.WriteAsync(n % 2 == 0 ? "river" : "loose", NpgsqlDbType.Varchar);
                await (log == Log.Created ? import.WriteAsync(bucket) : import.WriteAsync((int)bucket));
                await import.WriteAsync(Guid.NewGuid());
            }
            Assert.Equal(5000ul, await import.CompleteAsync());
        }
        await database.AssertCountedAsync(5000);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P8_a_reader_reads_views_and_charts_by_LINQ(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using (var owner = database.Context())
        {
            owner.AddRange(
                new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Partial },
                new PlayEvent { TrackEntryKey = "river", Bucket = PlayBucket.Complete },
                new PlayEvent { TrackEntryKey = "signal", Bucket = PlayBucket.Most });
            await owner.SaveChangesAsync();
        }
        await using var context = database.Context("reader");
        var today = DateOnly.FromDateTime(await database.ScalarAsync<DateTime>("SELECT now()"));

        Assert.Equal([("Silver River", 1, 0, 1, 2), ("Paper Signal", 0, 1, 0, 1)],
            (await context.TrackPlays
                .Join(context.Tracks, plays => plays.TrackEntryKey, track => track.EntryKey, (plays, track) => new { track.Title, plays })
                .OrderByDescending(row => row.plays.Plays)
                .ToListAsync())
            .Select(row => (row.Title, row.plays.Partial, row.plays.Most, row.plays.Complete, row.plays.Plays)));
        Assert.Equal(3, await context.ReleasePlays.Where(release => release.ReleaseId == 1).SumAsync(release => release.Plays));
        Assert.Equal(2, (await context.PlaysOfAsync("river"))?.Plays);
        Assert.Null(await context.PlaysOfAsync("loose"));
        Assert.Equal([1, 2], await context.Top(today.AddDays(-1), today.AddDays(1)).OrderBy(line => line.Rank).Select(line => line.Rank).ToListAsync());
        Assert.Equal(["river"], await context.Top(today.AddDays(-1), today.AddDays(1), 1).Select(line => line.Key).ToListAsync());
        Assert.Equal(2, await context.Top(today.AddDays(-1), today.AddDays(1)).CountAsync());
        Assert.Equal(2, await context.Series(today.AddDays(-1), today.AddDays(1), "river").SumAsync(day => day.Plays));
        Assert.Equal(3, await context.Series(today.AddDays(-29), today.AddDays(1), step: "week").Where(week => week.Plays > 0).SumAsync(week => week.Plays));

        var denied = await Assert.ThrowsAsync<PostgresException>(() => context.PlayEvents.ToListAsync());
        Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, denied.SqlState);
    }
}
