// PlayRecorder.cs: writes events, as a role that may do nothing else.
//
// Its data source has Max Auto Prepare set, so that each statement is parsed and
// planned once a connection.
using Npgsql;
using NpgsqlTypes;

namespace Site;

// What became of a play of a batch: "recorded", "duplicate", or "rejected" and why.
public record Receipt(string Status, long? Id, string? Reason);

public class PlayRecorder(NpgsqlDataSource web)
{
    // Returns the play's id, that of the first for an event that is sent again.
    public async Task<long?> RecordPlayAsync(string track, double heard, Guid eventId, CancellationToken cancel = default)
    {
        await using var command = web.CreateCommand("SELECT record_play_heard($1, $2, event_id => $3)");
        command.Parameters.Add(new() { Value = track });
        command.Parameters.Add(new() { Value = heard });
        command.Parameters.Add(new() { Value = eventId });
        return await command.ExecuteScalarAsync(cancel) as long?; // null: too short to be a play
    }

    // Returns the share's id, that of the first for an event that is sent again.
    public async Task<long?> RecordShareAsync(string track, ShareChannel channel, Guid eventId, CancellationToken cancel = default)
    {
        await using var command = web.CreateCommand("SELECT record_share($1, $2, event_id => $3)");
        command.Parameters.Add(new() { Value = track });
        command.Parameters.Add(new() { Value = channel.Label(), NpgsqlDbType = NpgsqlDbType.Unknown }); // text or an enum
        command.Parameters.Add(new() { Value = eventId });
        return await command.ExecuteScalarAsync(cancel) as long?;
    }

    // A batch in one statement; one that fails is sent again as it is.
    public async Task<IReadOnlyList<Receipt>> RecordPlaysAsync(
        string[] tracks, double[] heard, Guid[] eventIds, CancellationToken cancel = default)
    {
        await using var command = web.CreateCommand("""
            SELECT status, id, reason
              FROM record_plays($1, ARRAY(SELECT play_bucket_of(h) FROM unnest($2) WITH ORDINALITY AS u(h, n) ORDER BY n), $3)
             ORDER BY ord
            """);
        command.Parameters.Add(new() { Value = tracks });
        command.Parameters.Add(new() { Value = heard });
        command.Parameters.Add(new() { Value = eventIds });
        await using var reader = await command.ExecuteReaderAsync(cancel);
        var receipts = new List<Receipt>(tracks.Length);
        while (await reader.ReadAsync(cancel))
        {
            receipts.Add(new(
                reader.GetString(0),
                await reader.IsDBNullAsync(1, cancel) ? null : reader.GetInt64(1),
                await reader.IsDBNullAsync(2, cancel) ? null : reader.GetString(2)));
        }
        return receipts;
    }
}
