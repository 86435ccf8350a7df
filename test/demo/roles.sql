-- The owner of the site's schema, who is no superuser, and its web tier.
CREATE ROLE owner LOGIN;
CREATE ROLE web LOGIN;
CREATE DATABASE site OWNER owner;
