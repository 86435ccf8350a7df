// DesignTime.cs: the contexts as `dotnet ef` gets them.
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace Site;

public class DesignTimeSite : IDesignTimeDbContextFactory<SiteContext>
{
    public SiteContext CreateDbContext(string[] args)
    {
        var options = new DbContextOptionsBuilder<SiteContext>();
        SiteContext.Configure(options, null);
        return new(options.Options);
    }
}

public class DesignTimeSnake : IDesignTimeDbContextFactory<SnakeContext>
{
    public SnakeContext CreateDbContext(string[] args)
    {
        var options = new DbContextOptionsBuilder<SnakeContext>();
        SnakeContext.Configure(options, null);
        return new(options.Options);
    }
}
