// EfHabitsTests.cs: what Entity Framework does by habit goes well with a log, or
// fails clearly.  P1 (append-only), P2 (release), P3 (exact).
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace Site.Tests;

public class EfHabitsTests
{
    private static PlayEvent Play(string track = "river", Guid? eventId = null) =>
        new() { TrackEntryKey = track, Bucket = PlayBucket.Most, EventId = eventId };

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P2_SaveChanges_reads_back_id_release_and_time(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var context = database.Context();
        var play = Play();
        var loose = Play("loose");
        context.AddRange(play, loose);
        await context.SaveChangesAsync();

        Assert.Equal(1, play.ReleaseId);
        Assert.Null(loose.ReleaseId);
        Assert.NotEqual(0, play.Id);
        Assert.NotEqual(default, play.CreatedAt);
        await using var again = database.Context();
        Assert.Equivalent(play, await again.PlayEvents.SingleAsync(p => p.Id == play.Id));
        await database.AssertCountedAsync(2);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_AddRange_of_500_is_counted(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var context = database.Context();
        var plays = Enumerable.Range(0, 500).Select(n => Play(n % 5 == 0 ? "loose" : "river")).ToList();
        context.PlayEvents.AddRange(plays);
        Assert.Equal(500, await context.SaveChangesAsync());

        Assert.Equal(500, plays.Select(p => p.Id).Distinct().Count());
        Assert.All(plays, p => Assert.Equal(p.TrackEntryKey == "loose" ? null : 1, p.ReleaseId));
        Assert.Equal([("loose", 100), ("river", 400)],
            (await context.TrackPlays.OrderBy(t => t.TrackEntryKey).ToListAsync()).Select(t => (t.TrackEntryKey, t.Most)));
        await database.AssertCountedAsync(500);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_a_play_that_is_saved_again_is_refused_by_its_event_id(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        foreach (var expected in new[] { null, PostgresErrorCodes.UniqueViolation })
        {
            await using var context = database.Context();
            context.Add(Play(eventId: TestDatabase.Ids[0]));
            var exception = await Record.ExceptionAsync(() => context.SaveChangesAsync());
            Assert.Equal(expected, (exception?.InnerException as PostgresException)?.SqlState);
        }
        await database.AssertCountedAsync(1);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_a_commit_whose_answer_was_lost_is_retried_and_counted_once(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        var lost = new LostAnswer();
        await using var context = database.Context(configure: options => options.AddInterceptors(lost));
        var attempts = 0;
        await context.Database.CreateExecutionStrategy().ExecuteInTransactionAsync(
            async cancel =>
            {
                attempts++;
                context.ChangeTracker.Clear();
                context.Add(Play(eventId: TestDatabase.Ids[0]));
                await context.SaveChangesAsync(cancel);
            },
            cancel => context.PlayEvents.AnyAsync(p => p.EventId == TestDatabase.Ids[0], cancel));
        Assert.Equal((1, 1), (lost.Times, attempts));
        await database.AssertCountedAsync(1);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_a_statement_whose_connection_broke_is_retried_and_counted_once(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        var broken = new BrokenConnection();
        await using var context = database.Context(configure: options => options.AddInterceptors(broken));
        context.Add(Play(eventId: TestDatabase.Ids[0]));
        await context.SaveChangesAsync();
        Assert.Equal(2, broken.Attempts);
        await database.AssertCountedAsync(1);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P1_what_was_played_stays(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var context = database.Context();
        var play = Play();
        context.Add(play);
        await context.SaveChangesAsync();

        play.Bucket = PlayBucket.Complete;
        await AssertRefusedAsync("UPDATE", () => context.SaveChangesAsync());
        context.Entry(play).State = EntityState.Unchanged;
        context.Remove(play);
        await AssertRefusedAsync("DELETE", () => context.SaveChangesAsync());
        await AssertRefusedAsync("DELETE", () => context.PlayEvents.ExecuteDeleteAsync());
        await AssertRefusedAsync("UPDATE", () => context.PlayEvents.ExecuteUpdateAsync(
            plays => plays.SetProperty(p => p.Bucket, PlayBucket.Complete)));
        await database.AssertCountedAsync(1);
    }

    private static async Task AssertRefusedAsync(string what, Func<Task> change)
    {
        var exception = await Assert.ThrowsAnyAsync<Exception>(change);
        var refusal = Assert.IsType<PostgresException>((exception as DbUpdateException)?.InnerException ?? exception);
        Assert.Equal(PostgresErrorCodes.RestrictViolation, refusal.SqlState);
        Assert.EndsWith("is append-only", refusal.MessageText);
        Assert.EndsWith($"refuses {what}: what has been played stays as it was recorded.", refusal.Detail);
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P9_an_unknown_track_is_named(Log log)
    {
        await using var database = await TestDatabase.CreateAsync(log);
        await using var context = database.Context();
        context.Add(Play("nowhere"));
        var exception = await Assert.ThrowsAsync<DbUpdateException>(() => context.SaveChangesAsync());
        var refusal = Assert.IsType<PostgresException>(exception.InnerException);
        Assert.Equal(PostgresErrorCodes.ForeignKeyViolation, refusal.SqlState);
        Assert.Equal(log == Log.Attached ? "TrackEntryKey" : "track_entry_key", refusal.ColumnName);
        await database.AssertCountedAsync(0);
    }

    // Once, commits and then says that the connection is gone.
    private sealed class LostAnswer : DbTransactionInterceptor
    {
        public int Times { get; private set; }

        public override Task TransactionCommittedAsync(
            DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancel = default) =>
            Times++ == 0 ? throw new NpgsqlException("the answer was lost", new TimeoutException()) : Task.CompletedTask;
    }

    // Once, ends the session before an INSERT is sent.
    private sealed class BrokenConnection : DbCommandInterceptor
    {
        public int Attempts { get; private set; }

        public override async ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
            DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancel = default)
        {
            if (command.CommandText.StartsWith("INSERT") && ++Attempts == 1)
            {
                await using var end = command.Connection!.CreateCommand();
                end.Transaction = command.Transaction;
                end.CommandText = "SELECT pg_terminate_backend(pg_backend_pid())";
                await end.ExecuteNonQueryAsync(cancel);
            }
            return result;
        }
    }
}
