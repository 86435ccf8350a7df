// WebTierTests.cs: the web tier from outside, over HTTP.  P8 (its roles' few rights
// are enough), P3 (exact).
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Hosting;

namespace Site.Tests;

public class WebTierTests
{
    private sealed class RunningTier : IAsyncDisposable
    {
        public required TestDatabase Database { get; init; }
        public required WebApplication App { get; init; }
        public required HttpClient Client { get; init; }

        public static async Task<RunningTier> StartAsync(Log log, string? web = null)
        {
            var database = await TestDatabase.CreateAsync(log);
            var app = WebTier.Create([
                "--urls=http://127.0.0.1:0", $"--Log={log}", "--Proxies:0=127.0.0.1", "--Logging:LogLevel:Default=None",
                $"--ConnectionStrings:Web={web ?? database.ConnectionString("web")}",
                $"--ConnectionStrings:Reader={database.ConnectionString("reader")}",
            ]);
            await app.StartAsync();
            return new() { Database = database, App = app, Client = new() { BaseAddress = new(app.Urls.Single()) } };
        }

        public async Task<HttpStatusCode> PostAsync(string kind, string json, string? forwardedFor = null, HttpClient? client = null)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/api/event/{kind}")
            {
                Content = new StringContent(json, Encoding.UTF8, "application/json"),
            };
            if (forwardedFor is not null)
            {
                request.Headers.Add("X-Forwarded-For", forwardedFor);
            }
            using var response = await (client ?? Client).SendAsync(request);
            return response.StatusCode;
        }

        public async ValueTask DisposeAsync()
        {
            Client.Dispose();
            await App.DisposeAsync();
            await Database.DisposeAsync();
        }
    }

    private static string Play(string track = "river", double heard = 1, Guid? eventId = null) =>
        JsonSerializer.Serialize(new { track, heard, event_id = eventId ?? Guid.NewGuid() });

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P8_plays_and_shares_are_recorded_once(Log log)
    {
        await using var tier = await RunningTier.StartAsync(log);
        var play = Play();
        var share = JsonSerializer.Serialize(new { track = "river", channel = "link", event_id = Guid.NewGuid() });
        for (var time = 0; time < 2; time++)
        {
            Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("play", play));
            Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("share", share));
        }
        Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("play", Play(heard: 0.01)));
        await tier.Database.AssertCountedAsync(1);
        Assert.Equal(1, await tier.Database.ScalarAsync<long>("SELECT link FROM share_by_track"));
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P9_what_is_malformed_is_turned_away(Log log)
    {
        await using var tier = await RunningTier.StartAsync(log);
        var id = Guid.NewGuid();
        string[] malformed =
        [
            Play(""), Play(new string('x', 101)), Play("a\0b"), Play(heard: -0.1), Play(heard: 1.1),
            $$"""{"track": null, "heard": 0.5, "event_id": "{{id}}"}""",
            $$"""{"track": "river", "heard": "0.5", "event_id": "{{id}}"}""",
            $$"""{"track": "river", "heard": null, "event_id": "{{id}}"}""",
            $$"""{"track": "river", "heard": NaN, "event_id": "{{id}}"}""",
            $$"""{"track": "river", "event_id": "{{id}}"}""",
            """{"track": "river", "heard": 0.5, "event_id": "again"}""",
            """{"track": "river", "heard": 0.5}""",
            $$"""{"track": "river", "heard": 0.5, "event_id": "{{id}}", "release_id": 1}""",
            "[]", "\"heard\"", "null", "",
        ];
        foreach (var play in malformed)
        {
            Assert.Equal((play, HttpStatusCode.BadRequest), (play, await tier.PostAsync("play", play)));
        }
        foreach (var channel in new[] { "\"fax\"", "1", "null" })
        {
            Assert.Equal(HttpStatusCode.BadRequest, await tier.PostAsync("share",
                $$"""{"track": "river", "channel": {{channel}}, "event_id": "{{id}}"}"""));
        }
        foreach (var batch in new[] { "", Play(heard: 1.1), string.Join(',', Enumerable.Repeat(Play(), 1001)) })
        {
            Assert.Equal(HttpStatusCode.BadRequest, await tier.PostAsync("plays", $$"""{"plays": [{{batch}}]}"""));
        }
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, await tier.PostAsync("play", Play(new string('x', 2000))));
        Assert.Equal(HttpStatusCode.NotFound, await tier.PostAsync("play", Play("nowhere")));
        await tier.Database.AssertCountedAsync(0);
    }

    [Fact]
    public async Task A_flood_is_cut_off_by_the_address_that_the_proxy_tells()
    {
        await using var tier = await RunningTier.StartAsync(Log.Attached);
        var flood = new List<HttpStatusCode>();
        for (var n = 0; n < 70; n++)
        {
            flood.Add(await tier.PostAsync("play", Play(), "192.0.2.1"));
        }
        Assert.Equal((60, 10), (flood.Count(s => s == HttpStatusCode.NoContent), flood.Count(s => s == HttpStatusCode.TooManyRequests)));
        Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("play", Play(), "192.0.2.2"));

        // Who is no proxy may say what it likes.
        using var stranger = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (context, cancel) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                socket.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), 0));
                await socket.ConnectAsync(context.DnsEndPoint, cancel);
                return new NetworkStream(socket, ownsSocket: true);
            },
        })
        { BaseAddress = tier.Client.BaseAddress };
        Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("play", Play(), "192.0.2.1", stranger));
        await tier.Database.AssertCountedAsync(62);
    }

    [Fact]
    public async Task While_the_database_takes_no_connections_clients_are_told_to_try_again()
    {
        await using var tier = await RunningTier.StartAsync(Log.Attached);
        await tier.Database.ExecuteAsync("""
            DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); END $$
            """);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await tier.PostAsync("play", Play()));
        await tier.Database.ExecuteAsync("""
            DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT -1', current_database()); END $$
            """, Environment.GetEnvironmentVariable("PGUSER") ?? "postgres");
        Assert.Equal(HttpStatusCode.NoContent, await tier.PostAsync("play", Play()));
    }

    [Fact]
    public async Task While_nobody_listens_clients_are_told_to_try_again()
    {
        await using var tier = await RunningTier.StartAsync(Log.Attached, "Host=/nowhere;Username=web;Database=nowhere");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await tier.PostAsync("play", Play()));
    }

    [Theory, ClassData(typeof(BothLogs))]
    public async Task P3_a_batch_has_receipts_and_charts_show_it(Log log)
    {
        await using var tier = await RunningTier.StartAsync(log);
        var (first, second) = (Guid.NewGuid(), Guid.NewGuid());
        var batch = new
        {
            plays = new[]
            {
                new { track = "river", heard = 0.7, event_id = first },
                new { track = "signal", heard = 1.0, event_id = second },
                new { track = "river", heard = 0.7, event_id = first },
                new { track = "nowhere", heard = 1.0, event_id = Guid.NewGuid() },
                new { track = "river", heard = 0.01, event_id = Guid.NewGuid() },
            },
        };
        using var response = await tier.Client.PostAsJsonAsync("/api/event/plays", batch);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var receipts = await response.Content.ReadFromJsonAsync<List<Receipt>>();
        Assert.Equal(["recorded", "recorded", "duplicate", "rejected", "rejected"], receipts!.Select(r => r.Status));
        Assert.Equal(receipts![0].Id, receipts[2].Id);
        await tier.Database.AssertCountedAsync(2);

        Assert.Equal("""[{"entry_key":"signal","title":"Paper Signal","plays":1},{"entry_key":"river","title":"Silver River","plays":1}]""",
            await tier.Client.GetStringAsync("/api/charts/top?days=2"));
        Assert.Equal("""[{"title":"Silver River LP","plays":2}]""", await tier.Client.GetStringAsync("/api/charts/releases?days=2"));
        var days = await tier.Client.GetFromJsonAsync<List<PeriodPlays>>("/api/charts/series?days=30");
        Assert.Equal((30, 2), (days!.Count, days.Sum(day => day.Plays)));
        foreach (var query in new[] { "top?days=0", "releases?days=0", "series?days=1000", "series?step=hour" })
        {
            Assert.Equal(HttpStatusCode.BadRequest, (await tier.Client.GetAsync($"/api/charts/{query}")).StatusCode);
        }
    }

    [Fact]
    public async Task P8_the_web_role_can_record_and_nothing_else()
    {
        await using var database = await TestDatabase.CreateAsync(Log.Attached);
        foreach (var sql in new[] { """SELECT count(*) FROM "PlayEvents" """, """SELECT count(*) FROM "Tracks" """, "SELECT count(*) FROM play_by_track" })
        {
            var denied = await Assert.ThrowsAsync<Npgsql.PostgresException>(() => database.ScalarAsync<long>(sql, "web"));
            Assert.Equal(Npgsql.PostgresErrorCodes.InsufficientPrivilege, denied.SqlState);
        }
    }
}
