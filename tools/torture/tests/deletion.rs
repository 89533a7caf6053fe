//! A tenant's deletion is killed at each of its fault points.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use savor::fault::Point;
use savor::{Config, Item, KeyDesign, KeyRefusal, Scope, TenantName, TenantSettings, Tenants};

#[test]
fn a_deletion_that_is_killed_is_finished_at_the_next_start() {
    let acme: TenantName = "acme".parse().unwrap();
    for point in [Point::TenantGone, Point::TenantSettled] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let tenants = Tenants::open(&data, Config::default()).unwrap();
        tenants.create(&acme, TenantSettings::default()).unwrap();
        tenants.get(&acme).unwrap().put_items(&[Item::new("i")]).unwrap();
        let design = KeyDesign { tenant: Some("acme".into()), ..KeyDesign::new("shop", [Scope::Read]) };
        let token = tenants.home().create_key(&design).unwrap().token;
        let backups = tenants.backup_folder(Some(&acme));
        tenants.backup_one(&acme, backups.join("default")).unwrap();
        drop(tenants);

        let killed = Command::new(env!("CARGO_BIN_EXE_savor-victim"))
            .args(["tenant", "delete", "acme", "--confirm", "acme", "--data"])
            .arg(&data)
            .env("SAVOR_FAULT", point.name())
            .output()
            .unwrap();
        assert_eq!(killed.status.signal(), Some(9), "{point:?}: {killed:?}");

        let tenants = Tenants::open(&data, Config::default()).unwrap();
        assert!(tenants.names().is_empty(), "{point:?}");
        assert_eq!(tenants.home().check_key(token.reveal()).unwrap_err(), KeyRefusal::Revoked, "{point:?}");
        let left: Vec<_> = fs::read_dir(backups.parent().unwrap()).unwrap().map(|entry| entry.unwrap()).collect();
        assert!(
            left.len() == 1 && left[0].file_name().to_string_lossy().starts_with(".deleted-acme-"),
            "{point:?}: {left:?}"
        );
        // Who is given the name next begins with nothing.
        tenants.create(&acme, TenantSettings::default()).unwrap();
        assert!(tenants.get(&acme).unwrap().item("i").unwrap().is_none() && !backups.exists(), "{point:?}");
        assert_eq!(fs::read_dir(data.join("tenants")).unwrap().count(), 1, "{point:?}: nothing is left of it");
    }
}
