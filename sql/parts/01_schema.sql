--
-- The extension's schema.
--

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION playevent" to load this file. \quit

-- The schema is made here, not by CREATE EXTENSION, for that would give it to
-- whoever says so, or take one that is there.  Its owner could move it aside and
-- put functions in its place, which the event triggers would call as everyone,
-- superusers included; or leave operators in it for what is parsed here.
CREATE SCHEMA playevent;
