//! Names as operators write them: regions long or short, stamp ids long or short.
//!
//! Invariant: whatever was written, what leaves here is the one form that the table uses. The long names of regions are
//! data: a region that is not listed is used by its short name.

use synaxis_routing::id::{Region, StampId};

use crate::failure::Failure;

/// Long and short names of regions (Azure's, with the short forms that resource names commonly use).
const REGIONS: &[(&str, &str)] = &[
    ("australiacentral", "auc"),
    ("australiaeast", "aue"),
    ("australiasoutheast", "ause"),
    ("austriaeast", "ate"),
    ("belgiumcentral", "bec"),
    ("brazilsouth", "brs"),
    ("canadacentral", "cac"),
    ("canadaeast", "cae"),
    ("centralindia", "inc"),
    ("centralus", "cus"),
    ("chilecentral", "clc"),
    ("eastasia", "eas"),
    ("eastus", "eus"),
    ("eastus2", "eus2"),
    ("francecentral", "frc"),
    ("francesouth", "frs"),
    ("germanynorth", "gno"),
    ("germanywestcentral", "gwc"),
    ("indonesiacentral", "idc"),
    ("israelcentral", "ilc"),
    ("italynorth", "itn"),
    ("japaneast", "jpe"),
    ("japanwest", "jpw"),
    ("koreacentral", "krc"),
    ("koreasouth", "krs"),
    ("malaysiawest", "myw"),
    ("mexicocentral", "mxc"),
    ("newzealandnorth", "nzn"),
    ("northcentralus", "ncus"),
    ("northeurope", "neu"),
    ("norwayeast", "noe"),
    ("norwaywest", "now"),
    ("polandcentral", "plc"),
    ("qatarcentral", "qac"),
    ("southafricanorth", "san"),
    ("southafricawest", "saw"),
    ("southcentralus", "scus"),
    ("southeastasia", "sea"),
    ("southindia", "ins"),
    ("spaincentral", "spc"),
    ("swedencentral", "sec"),
    ("switzerlandnorth", "szn"),
    ("switzerlandwest", "szw"),
    ("uaecentral", "uac"),
    ("uaenorth", "uan"),
    ("uksouth", "uks"),
    ("ukwest", "ukw"),
    ("westcentralus", "wcus"),
    ("westeurope", "weu"),
    ("westindia", "inw"),
    ("westus", "wus"),
    ("westus2", "wus2"),
    ("westus3", "wus3"),
];

/// A region, written long (`westeurope`) or short (`weu`), in any case.
///
/// # Errors
/// In words, for text that is no region name.
pub(crate) fn region(text: &str) -> Result<Region, String> {
    let lower = text.to_ascii_lowercase();
    let short = REGIONS.iter().find(|(long, _)| *long == lower).map_or(lower.as_str(), |(_, short)| short);
    Region::parse(short).map_err(|error| format!("{text:?}: {error}"))
}

/// A stamp id, written long (`synaxis-weu-003`), short (`weu-003`) or, with a region, as a number (`003`).
///
/// # Errors
/// [`Failure::Usage`] for anything else, a bare number without a region, and a region that is not the id's.
pub(crate) fn stamp(text: &str, given: Option<&Region>) -> Result<StampId, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{text:?} is no stamp id: {why}"));
    let short = text.strip_prefix("synaxis-").unwrap_or(text);
    let (name, number) = match (short.rsplit_once('-'), given) {
        (Some((name, number)), _) => (region(name).map_err(wrong)?, number),
        (None, Some(given)) if short.len() == text.len() => (given.clone(), short),
        (None, _) => {
            return Err(wrong("write synaxis-weu-003, weu-003, or 003 with --region weu".to_owned()));
        }
    };
    if let Some(given) = given.filter(|given| **given != name) {
        return Err(wrong(format!("its region is {name}, but --region says {given}")));
    }
    StampId::parse(&format!("synaxis-{name}-{number}")).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_long_and_short() {
        let weu = Region::parse("weu").unwrap();
        let cases = [
            ("synaxis-weu-003", None),
            ("weu-003", None),
            ("westeurope-003", None),
            ("synaxis-westeurope-003", None),
            ("WestEurope-003", None),
            ("003", Some(&weu)),
            ("weu-003", Some(&weu)),
        ];
        for (text, given) in cases {
            assert_eq!(stamp(text, given).unwrap().as_str(), "synaxis-weu-003", "{text}");
        }
        assert_eq!(stamp("eus2-000001", None).unwrap().as_str(), "synaxis-eus2-000001");
    }

    #[test]
    fn what_is_no_id_is_wrong_usage() {
        let weu = Region::parse("weu").unwrap();
        let cases = [
            ("", None),
            ("003", None),
            ("3", Some(&weu)),
            ("synaxis-003", Some(&weu)),
            ("eus-003", Some(&weu)),
            ("weu_003", None),
            ("weu-003\n", None),
            ("weu-0x3", None),
            ("../../etc-003", None),
            ("synaxis-synaxis-weu-003", None),
            ("\u{202e}weu-003", None),
        ];
        for (text, given) in cases {
            assert!(matches!(stamp(text, given), Err(Failure::Usage(_))), "{text:?}");
        }
    }

    #[test]
    fn regions_are_read_long_and_short() {
        for (text, short) in [
            ("westeurope", "weu"),
            ("eastus", "eus"),
            ("southeastasia", "sea"),
            ("northeurope", "neu"),
            ("WestEurope", "weu"),
            ("weu", "weu"),
            ("mars", "mars"),
        ] {
            assert_eq!(&*region(text).unwrap(), short);
        }
        for bad in ["", "w", "west europe", "1eu", "averyveryverylongregion"] {
            assert!(region(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_region_map_is_well_formed_and_unambiguous() {
        for (i, (long, short)) in REGIONS.iter().enumerate() {
            Region::parse(short).unwrap();
            assert!(REGIONS[..i].iter().all(|(l, s)| l != long && s != short), "{long} {short}");
            assert!(REGIONS.iter().all(|(l, _)| l != short), "{short} is also a long name");
        }
    }
}
