// play.go: records a play or a share from Go, and prints its id.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strconv"

	_ "github.com/lib/pq"
)

// Returns 0 for what was too short to be a play.
func recordPlay(ctx context.Context, db *sql.DB, track string, heard float64, eventID string) (id int64, err error) {
	err = db.QueryRowContext(ctx,
		`SELECT record_play($1, bucket, $2)
		   FROM play_bucket_of($3) AS bucket WHERE bucket IS NOT NULL`,
		track, eventID, heard).Scan(&id)
	if err == sql.ErrNoRows {
		return 0, nil
	}
	return id, err
}

func recordShare(ctx context.Context, db *sql.DB, track, channel, eventID string) (id int64, err error) {
	err = db.QueryRowContext(ctx,
		`SELECT record_share($1, $2, $3)`, track, channel, eventID).Scan(&id)
	return id, err
}

func main() {
	kind, track, what, eventID := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	db, err := sql.Open("postgres", "")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var id int64
	if kind == "play" {
		heard, failure := strconv.ParseFloat(what, 64)
		if failure != nil {
			log.Fatal(failure)
		}
		id, err = recordPlay(context.Background(), db, track, heard, eventID)
	} else {
		id, err = recordShare(context.Background(), db, track, what, eventID)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}
