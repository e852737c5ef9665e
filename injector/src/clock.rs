//! Time since boot for everything that waits, and calendar text from the system clock.

use keysluice_plan::civil_date;
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::unix::pipe;
use tokio::time::sleep;

/// Time since boot.
pub(crate) type Time = Duration;

/// Time since the node booted, suspension included: nobody sets it, and a container that was
/// restarted goes on with it.
pub(crate) fn since_boot() -> Time {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    Duration::new(tv_sec.try_into().unwrap_or_default(), tv_nsec.try_into().unwrap_or_default())
}

/// Wakes at a time since boot. The runtime's own timers stand still while a node is suspended.
#[derive(Debug)]
pub(crate) struct Alarm(Option<pipe::Receiver>);

impl Alarm {
    /// Where the kernel has no such timer (a sandbox's may not) the runtime's has to do.
    pub(crate) fn new() -> Self {
        let timer = timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        );
        // A timer is read like a pipe, and the runtime offers no other way to wait for a descriptor
        // that is free of `unsafe`.
        Self(timer.ok().and_then(|timer| pipe::Receiver::from_owned_fd_unchecked(timer).ok()))
    }

    /// Returns at `time`, at once when it is over.
    pub(crate) async fn at(&self, time: Duration) {
        while let Some(rest) = time.checked_sub(since_boot()).filter(|rest| !rest.is_zero()) {
            match &self.0 {
                Some(timer) if Self::set(timer, time).is_ok() => Self::expired(timer).await,
                _ => sleep(rest).await,
            }
        }
    }

    fn set(timer: impl AsFd, time: Duration) -> Result<(), Errno> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A time no clock reaches is as good as none.
        let tv_sec =
            i64::try_from(time.as_secs()).unwrap_or(i64::MAX).min(i64::MAX / 2_000_000_000);
        let it_value = Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() };
        timerfd_settime(
            timer,
            TimerfdTimerFlags::ABSTIME,
            &Itimerspec { it_interval: zero, it_value },
        )
        .map(drop)
    }

    async fn expired(timer: &pipe::Receiver) {
        if timer.readable().await.is_ok() {
            // The count of expirations; read, so that the next wait does not end at once.
            let _ = timer.try_read(&mut [0; 8]);
        }
    }
}

/// Seconds since 1970 of an HTTP date, `Wed, 25 Nov 2026 22:39:01 GMT`.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// Of the year 9999; seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    micros: u32,
}

impl Utc {
    /// Splits a system time; before 1970 counts as 1970.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, in_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil_date(days);
        Self {
            year,
            month,
            day,
            hour: in_day / 3600,
            minute: in_day / 60 % 60,
            second: in_day % 60,
            micros: since.subsec_micros(),
        }
    }

    /// Splits seconds since 1970; after the year 9999 counts as its end.
    pub(crate) fn of_unix(seconds: u64) -> Self {
        Self::of(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_SECOND)))
    }

    /// `2026-11-23T21:09:08.070000Z`
    pub(crate) fn rfc3339(self) -> String {
        let Self { year, month, day, hour, minute, second, micros } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }

    /// `2026-11-23T21:09:08Z`
    pub(crate) fn to_the_second(self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// `2026_11_23_21_09_08`, the first half of a generation's name.
    pub(crate) fn underscored(self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_wakes_at_its_time_and_at_once_when_that_is_over() {
        let fallback = Alarm(None);
        for alarm in [Alarm::new(), fallback] {
            let start = since_boot();
            for wait in [20, 0, 30, 10] {
                alarm.at(start + Duration::from_millis(wait)).await;
                assert!(since_boot() >= start + Duration::from_millis(wait));
            }
            alarm.at(Duration::ZERO).await;
            assert!(since_boot() < start + Duration::from_secs(10));
            // One that is dropped before its time leaves nothing behind.
            let soon =
                tokio::time::timeout(Duration::from_millis(5), alarm.at(Duration::MAX)).await;
            assert!(soon.is_err());
            alarm.at(since_boot() + Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn the_time_since_boot_is_the_kernels() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((since_boot().as_secs_f64() - uptime).abs() < 1.0);
    }

    #[test]
    fn http_dates_are_read_and_others_are_none() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 00:00:01 GMT", Some(951_782_401)),
            ("Mon, 23 Nov 2026 21:09:08 GMT", Some(1_795_468_148)),
            ("Sun, 28 Feb 2100 23:59:59 GMT", Some(4_107_542_399)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 23 Nov 2026 21:09:08 GMT", None),
            ("Mon, 23 Nov 2026 21:09:08 UTC", None),
            ("Mon, 23 ovD 2026 21:09:08 GMT", None),
            ("Mon, 23 Nov 2026 21:09 GMT", None),
            ("Mon, 23 Nov 2026 21:09:08:07 GMT", None),
            ("Mon, -3 Nov 2026 21:09:08 GMT", None),
            ("1795468148", None),
            ("", None),
        ] {
            assert_eq!(http_date(text), expected, "{text}");
        }
    }

    #[test]
    fn dates_match_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000Z"),
            (1_795_468_148, "2026-11-23T21:09:08.000000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(Utc::of(UNIX_EPOCH + Duration::from_secs(seconds)).rfc3339(), expected);
        }
        let utc = Utc::of(UNIX_EPOCH + Duration::from_millis(1_795_468_148_070));
        assert_eq!(
            (utc.underscored().as_str(), utc.rfc3339().as_str()),
            ("2026_11_23_21_09_08", "2026-11-23T21:09:08.070000Z")
        );
    }
}
