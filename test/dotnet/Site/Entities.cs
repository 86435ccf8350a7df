// Entities.cs: what the site has tables of, and what it reads of its counters.
using System.ComponentModel.DataAnnotations;
using System.ComponentModel.DataAnnotations.Schema;

namespace Site;

public class Release
{
    public long Id { get; set; }
    public required string Title { get; set; }
}

public class Track
{
    [Key, MaxLength(100)]
    public required string EntryKey { get; set; }
    public required string Title { get; set; }
    public double Seconds { get; set; }
    public long? ReleaseId { get; set; }
    public Release? Release { get; set; }
    public bool IsDeleted { get; set; }
}

// How much of a track was heard, once the play is over.
public enum PlayBucket { Partial, Most, Complete } // 0, 1, 2 in the table

public enum ShareChannel { Link, Native, Embed }

public static class ShareChannels
{
    // As the database and clients call it.
    public static string Label(this ShareChannel channel) => channel.ToString().ToLowerInvariant();
}

// A fact: written once, never changed.  The database fills in what has no public setter.
public class PlayEvent
{
    public long Id { get; private set; }
    [MaxLength(100)]
    public required string TrackEntryKey { get; set; }
    public long? ReleaseId { get; private set; }
    public PlayBucket Bucket { get; set; }
    public Guid? EventId { get; set; }
    public string? AnonId { get; set; }
    public DateTime CreatedAt { get; private set; }
}

public class ShareEvent
{
    public long Id { get; private set; }
    [MaxLength(100)]
    public required string TrackEntryKey { get; set; }
    public long? ReleaseId { get; private set; }
    public ShareChannel Channel { get; set; }
    public Guid? EventId { get; set; }
    public DateTime CreatedAt { get; private set; }
}

// A row of the view play_by_track.  Its key is called as in the log; all other names
// of playevent's are lower case, so Entity Framework must be told them.
public class TrackPlays
{
    public required string TrackEntryKey { get; init; }
    [Column("partial")] public long Partial { get; init; }
    [Column("most")] public long Most { get; init; }
    [Column("complete")] public long Complete { get; init; }
    [Column("plays")] public long Plays { get; init; }
}

// A row of the view play_by_release.
public class ReleasePlays
{
    public long ReleaseId { get; init; }
    [Column("plays")] public long Plays { get; init; }
}

// A row of playevent.top.
public class ChartLine
{
    [Column("rank")] public long Rank { get; init; }
    [Column("key")] public required string Key { get; init; }
    [Column("plays")] public long Plays { get; init; }
}

// A row of playevent.series.
public class PeriodPlays
{
    [Column("period")] public DateOnly Period { get; init; }
    [Column("plays")] public long Plays { get; init; }
}
