# The site's models.
class Release < ActiveRecord::Base
end

class Track < ActiveRecord::Base
  self.primary_key = :entry_key
  belongs_to :release, optional: true
end

# Written once: an update or a destroy fails.  The database fills in the release.
class Play < ActiveRecord::Base
  belongs_to :track, foreign_key: :track_entry_key
  belongs_to :release, optional: true

  kinds = { partial: 0, most: 1, complete: 2 }
  if ActiveRecord::VERSION::MAJOR < 7
    enum bucket: kinds
  else
    enum :bucket, kinds
  end
end

# A view of the log: plays by track, and by bucket.
class TrackPlays < ActiveRecord::Base
  self.table_name = :play_by_track
  self.primary_key = :track_entry_key
end
