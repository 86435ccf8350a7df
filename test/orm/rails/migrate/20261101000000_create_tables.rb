# Makes the site's tables.
class CreateTables < ActiveRecord::Migration[6.1]
  def change
    create_table :releases do |t|
      t.string :title, null: false
    end
    create_table :tracks, id: false do |t|
      t.string :entry_key, limit: 100, primary_key: true
      t.references :release, foreign_key: true
      t.boolean :is_deleted, null: false, default: false
    end
    create_table :plays do |t|
      t.string :track_entry_key, limit: 100, null: false
      t.bigint :release_id
      t.integer :bucket, null: false
      t.uuid :event_id, index: { unique: true }
      t.column :created_at, :timestamptz, null: false, default: -> { "now()" }
    end
  end
end
