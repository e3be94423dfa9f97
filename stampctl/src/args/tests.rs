//! The documented forms, and forms that mean nothing.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn the_documented_forms_are_understood() {
    for line in [
        "drain synaxis-weu-003",
        "drain synaxis-weu-003 --force",
        "drain synaxis-weu-003 --grace-period=60m",
        "activate synaxis-weu-003",
        "activate 003 --region westeurope --ramp 5m",
        "wait --for=active synaxis-weu-003",
        "list --state=active",
        "list --region=westeurope",
        "status synaxis-weu-003",
        "delete synaxis-weu-003 --force",
        "tenant pin acme weu-003 --preferred",
        "register weu-003 --endpoint http://127.0.0.1:7003 --init --regions weu,eastus",
        "-o json --store file:/tmp/x epoch --wait --timeout 5s",
        "plan drain weu-003 --ramp 300s -o json",
        "plan --max-moved 40 tenant unpin acme",
        "apply 1.7-0123456789abcdef drain weu-003 --ramp 300s --max-moved 100",
        "degrade read-only --fleet",
        "degrade 4 --stamp weu-003 --for 2h --reason disks",
        "degrade Maintenance --stamp 003 --region westeurope",
        "degrade --clear --fleet",
        "plan degrade 1 --fleet",
        "isolate weu-003 --last",
        "health weu-003 --at http://127.0.0.1:7001",
        "wait --for=healthy weu-003",
        "tenant set acme --limit per-user=500/min,burst=20 --limit tenant=5/h --no-limit per-ip --tier gold",
        "tenant set acme --no-limit per-user",
        "recover --from 127.0.0.1:9901 --from http://127.0.0.1:9902/routing/table",
        "cache purge https://a.example/orders/17?full=1 --tenant acme --wait",
        "cache purge /orders/17 --host a.example --tenant acme --soft",
        "cache purge --prefix /orders/ --tenant acme",
        "cache purge --tag order-17 --tenant acme --wait --timeout 5s --cache-store redis://127.0.0.1:6379/3",
        "cache purge --tenant acme --proxy-config proxy.toml --cache-key-prefix stamp-1",
        "cache purge --class definitions --dry-run -o json",
        "cache purge --all --yes",
    ] {
        Args::try_parse_from(std::iter::once("stampctl").chain(line.split(' '))).unwrap();
    }
    for line in [
        "drain",
        "weight weu-003 1001",
        "weight weu-003 -1",
        "list --state=gone",
        "tenant pin a/b weu-003",
        "rollback -1",
        "activate weu-003 --ramp 1.5s",
        "tenant pin acme weu-001 --strict --preferred",
        "tenant unpin",
        "tenant set --limit per-user=5/s",
        "tenant set acme --limit",
        "tenant set acme --limit per-user:5/s",
        "tenant set acme --no-limit per-user=5/s",
        "plan",
        "plan list",
        "plan plan drain weu-003",
        "apply drain weu-003",
        "apply 0123456789abcdef drain weu-003",
        "drain weu-003 --max-moved 101",
        "drain weu-003 --max-moved -1",
        "degrade read-only",
        "degrade --fleet",
        "degrade read-only --fleet --stamp weu-003",
        "degrade 5 --fleet",
        "degrade -1 --fleet",
        "degrade down --fleet",
        "degrade read-only --fleet --for ever",
        "degrade read-only --fleet --clear",
        "degrade --clear --fleet --for 10m",
        "degrade --clear",
        "degrade 1 --fleet --region weu",
        "isolate",
        "wait --for=well weu-003",
        "health weu-003 --at http://user@127.0.0.1:1",
        "cache",
        "cache purge",
        "cache purge --soft",
        "cache purge a.example/x",
        "cache purge --all --tenant acme",
        "cache purge --all --wait --no-wait",
        "plan cache purge --all",
    ] {
        let refused = Args::try_parse_from(std::iter::once("stampctl").chain(line.split(' '))).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{line}");
    }
}
