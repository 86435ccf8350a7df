-- The owner of the site's schema, who is no superuser; its web tier, which records;
-- and who reads charts.
CREATE ROLE owner LOGIN;
CREATE ROLE web LOGIN;
CREATE ROLE reader LOGIN;
CREATE DATABASE site OWNER owner;
