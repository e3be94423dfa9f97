//! Writers at the same time: one wins, the others are told and nothing of theirs is published.

use std::process::Stdio;

use crate::World;

fn races(world: &World) {
    let before = world.version();
    let (mut won, mut lost) = (0, 0);
    for round in 0..40 {
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let weight = (round * 6 + writer + 200).to_string();
                let mut command = world.command();
                command.args(["weight", "weu-001", &weight]).stdout(Stdio::null()).stderr(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for writer in writers {
            let output = writer.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) => won += 1,
                Some(6) => {
                    lost += 1;
                    assert!(said.contains("somebody else published"), "{said}");
                }
                code => panic!("{code:?}: {said}"),
            }
        }
        if lost > 0 && round >= 2 {
            break;
        }
    }
    assert!(lost > 0, "{won} writers won and none lost: they never met");
    assert_eq!(world.version().epoch, before.epoch + won, "{lost} lost");
}

#[test]
fn writers_in_a_folder_never_overwrite_each_other() {
    races(&World::file().with(&["weu-001", "weu-002"]));
}

#[test]
fn writers_in_redis_never_overwrite_each_other() {
    races(&World::redis().with(&["weu-001", "weu-002"]));
}
