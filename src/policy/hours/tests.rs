//! Tests of hours, around the edges of days, weeks and daylight saving.

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::{Hours, HoursFault};

/// The instant at which a clock in `zone` shows this time of a day of June 2026, whose first is
/// a Monday.
fn june(day: i8, hour: i8, minute: i8, zone: &str) -> i64 {
    let zone = TimeZone::get(zone).unwrap();
    date(2026, 6, day)
        .at(hour, minute, 0, 0)
        .to_zoned(zone)
        .unwrap()
        .timestamp()
        .as_second()
}

/// Whether `text` holds on that day at that time in Berlin.
fn holds(text: &str, day: i8, hour: i8, minute: i8) -> bool {
    Hours::parse(text)
        .unwrap()
        .holds(june(day, hour, minute, "Europe/Berlin"))
        .unwrap()
}

#[test]
fn working_hours_hold_on_working_days() {
    let text = "Mon-Fri 07:00-19:00 Europe/Berlin";
    assert!(!holds(text, 1, 6, 59));
    assert!(holds(text, 1, 7, 0));
    assert!(holds(text, 5, 18, 59));
    assert!(!holds(text, 5, 19, 0));
    assert!(!holds(text, 6, 12, 0));
    assert!(!holds(text, 7, 12, 0));
}

#[test]
fn the_zone_is_that_of_the_rule() {
    let text = Hours::parse("07:00-19:00 America/New_York").unwrap();
    assert_eq!(text.holds(june(1, 12, 59, "Europe/Berlin")), Some(false));
    assert_eq!(text.holds(june(1, 13, 0, "Europe/Berlin")), Some(true));
}

#[test]
fn daylight_saving_moves_the_instant_and_not_the_clock() {
    let hours = Hours::parse("12:00-13:00 Europe/Berlin").unwrap();
    // 2026-01-15 11:30 UTC and 2026-07-15 10:30 UTC are both half past twelve.
    assert_eq!(hours.holds(1_768_476_600), Some(true));
    assert_eq!(hours.holds(1_784_111_400), Some(true));
    assert_eq!(hours.holds(1_784_115_000), Some(false));
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let text = "Fri 22:00-06:00 Europe/Berlin";
    assert!(!holds(text, 5, 5, 0));
    assert!(!holds(text, 5, 21, 59));
    assert!(holds(text, 5, 22, 0));
    assert!(holds(text, 6, 5, 59));
    assert!(!holds(text, 6, 6, 0));
    assert!(!holds(text, 6, 23, 0));
    assert!(holds("22:00-24:00 Europe/Berlin", 1, 23, 59));
    assert!(!holds("22:00-24:00 Europe/Berlin", 1, 0, 0));
}

#[test]
fn days_and_times_may_be_lists_and_left_out() {
    let text = "Mon,Wed,Sat-Sun 07:00-08:00,20:00-21:00 Europe/Berlin";
    assert!(holds(text, 1, 7, 30));
    assert!(holds(text, 3, 20, 0));
    assert!(!holds(text, 2, 7, 30));
    assert!(holds(text, 7, 20, 59));
    assert!(!holds(text, 1, 12, 0));
    assert!(holds("saturday Europe/Berlin", 6, 0, 0));
    assert!(!holds("saturday Europe/Berlin", 7, 0, 0));
    assert!(holds("Fri-Mon Europe/Berlin", 1, 3, 0));
    assert!(!holds("Fri-Mon Europe/Berlin", 2, 3, 0));
    assert!(holds("Europe/Berlin", 2, 3, 0));
    assert!(holds("7:00-9:30 UTC", 1, 11, 29));
}

#[test]
fn faults_say_what_is_wrong() {
    let fault = |text: &str| Hours::parse(text).unwrap_err();
    assert_eq!(fault(""), HoursFault::Form);
    assert_eq!(fault("Mon 07:00-19:00 x Europe/Berlin"), HoursFault::Form);
    assert_eq!(
        fault("Mo-Fri 07:00-19:00 UTC"),
        HoursFault::Day("Mo".into())
    );
    for time in [
        "7-9",
        "07:00",
        "25:00-26:00",
        "07:60-08:00",
        "07:00-07:00",
        "24:00-06:00",
        "06:60-08:00",
        "07:0-08:00",
    ] {
        assert_eq!(
            fault(&format!("Mon {time} UTC")),
            HoursFault::Time(time.into()),
            "{time}"
        );
    }
    assert_eq!(
        fault("Mon Europe/Berln"),
        HoursFault::Zone("Europe/Berln".into(), Some("Europe/Berlin".into()))
    );
    assert!(matches!(fault("Mon-Fri 07:00-19:00"), HoursFault::Zone(..)));
}

#[test]
fn an_instant_beyond_the_calendar_is_unsure() {
    let hours = Hours::parse("UTC").unwrap();
    assert_eq!(hours.holds(i64::MAX), None);
    assert_eq!(hours.holds(i64::MIN), None);
}
