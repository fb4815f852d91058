//! `setsockopt` and `getsockopt`: what each option means for the stack. What is not here is `ENOPROTOOPT`.

use crate::datagram::Datagram;
use crate::errno::Errno;
use crate::files::{File, Files};
use crate::flags::{algorithm, algorithm_name};
use crate::segment_info;
use crate::settings::Settings;
use crate::stream::{State, Stream};
use crate::world::World;
use libc::{
    IP_MTU, IP_MTU_DISCOVER, IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, SO_ACCEPTCONN, SO_BROADCAST,
    SO_DOMAIN, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF, SO_REUSEADDR, SO_SNDBUF,
    SO_TYPE, SOL_SOCKET, TCP_CONGESTION, TCP_CORK, TCP_INFO, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_LINGER2,
    TCP_MAXSEG, TCP_NODELAY, TCP_NOTSENT_LOWAT, TCP_QUICKACK, TCP_SYNCNT, TCP_USER_TIMEOUT,
};
use std::time::Duration;

/// The smallest buffers of Linux, as they are read back.
const LEAST_BUFFER: i32 = 2304;

fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk().map(|octets| i32::from_ne_bytes(*octets)).ok_or(Errno(libc::EINVAL))
}

fn positive(value: i32, most: i32) -> Result<u32, Errno> {
    if (1..=most).contains(&value) { Ok(value as u32) } else { Err(Errno(libc::EINVAL)) }
}

impl Files {
    pub(crate) fn set_option(
        &mut self,
        world: &mut World,
        fd: i32,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> Result<(), Errno> {
        match self.file(fd)? {
            File::Stream(stream) => {
                match level {
                    SOL_SOCKET => set_socket(&mut stream.settings, name, value)?,
                    IPPROTO_IP => set_ip(&mut stream.settings, name, value)?,
                    IPPROTO_TCP => set_tcp(stream, world, name, value)?,
                    _ => return Err(Errno(libc::ENOPROTOOPT)),
                }
                stream.apply_settings(world);
            }
            File::Datagram(datagram) => {
                match level {
                    SOL_SOCKET => set_socket(&mut datagram.settings, name, value)?,
                    IPPROTO_IP => set_ip(&mut datagram.settings, name, value)?,
                    _ => return Err(Errno(libc::ENOPROTOOPT)),
                }
                datagram.apply_settings(world);
            }
            _ => return Err(Errno(libc::ENOTSOCK)),
        }
        Ok(())
    }

    pub(crate) fn option(&mut self, world: &mut World, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let known = match self.file(fd)? {
            File::Stream(stream) => match level {
                SOL_SOCKET => stream_socket(stream, world, name),
                IPPROTO_IP => stream_ip(stream, world, name)?,
                IPPROTO_TCP => return tcp(stream, world, name),
                _ => None,
            },
            File::Datagram(datagram) => match level {
                SOL_SOCKET => datagram_socket(datagram, world, name),
                IPPROTO_IP => datagram_ip(datagram, world, name)?,
                _ => None,
            },
            _ => return Err(Errno(libc::ENOTSOCK)),
        };
        known.ok_or(Errno(libc::ENOPROTOOPT))
    }
}

fn set_socket(settings: &mut Settings, name: i32, value: &[u8]) -> Result<(), Errno> {
    let number = int(value)?;
    match name {
        SO_REUSEADDR => settings.reuse_address = number != 0,
        SO_KEEPALIVE => settings.keepalive = number != 0,
        SO_BROADCAST => settings.broadcast = number != 0,
        SO_PRIORITY => settings.priority = number,
        SO_LINGER => {
            let seconds = int(value.get(4..).unwrap_or_default())?;
            settings.linger = (number != 0).then_some(seconds);
        }
        // Linux counts its own overhead in, and says twice what it was told.
        SO_RCVBUF => {
            settings.receive_buffer = number.saturating_mul(2).max(LEAST_BUFFER);
            settings.tcp.receive_buffer = usize::try_from(settings.receive_buffer / 2).unwrap_or(0);
        }
        SO_SNDBUF => {
            settings.send_buffer = number.saturating_mul(2).max(LEAST_BUFFER * 2);
            settings.tcp.send_buffer = usize::try_from(settings.send_buffer).unwrap_or(0);
        }
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn set_ip(settings: &mut Settings, name: i32, value: &[u8]) -> Result<(), Errno> {
    let number = match value {
        [octet] => i32::from(*octet),
        more => int(more)?,
    };
    match name {
        // ECN is the transport's.
        IP_TOS => settings.tcp.traffic_class = number as u8 & 0xfc,
        IP_TTL if number == -1 => settings.tcp.hop_limit = tapstack::network::packet::DEFAULT_HOP_LIMIT,
        IP_TTL => settings.tcp.hop_limit = positive(number, 255)? as u8,
        IP_MTU_DISCOVER if (0..=5).contains(&number) => settings.mtu_discover = number,
        IP_MTU_DISCOVER => return Err(Errno(libc::EINVAL)),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn set_tcp(stream: &mut Stream, world: &mut World, name: i32, value: &[u8]) -> Result<(), Errno> {
    if name == TCP_CONGESTION {
        let end = value.iter().position(|octet| *octet == 0).unwrap_or(value.len());
        let name = value.get(..end).and_then(|name| std::str::from_utf8(name).ok());
        // An open connection keeps what it has.
        let known = name.and_then(algorithm).ok_or(Errno(libc::ENOENT))?;
        if matches!(stream.state, State::Open(_)) && known != stream.settings.tcp.congestion {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        stream.settings.tcp.congestion = known;
        return Ok(());
    }
    let number = int(value)?;
    let seconds = |most| positive(number, most).map(|seconds| Duration::from_secs(u64::from(seconds)));
    let settings = &mut stream.settings;
    match name {
        TCP_NODELAY => settings.tcp.nagle = number == 0,
        TCP_CORK => settings.cork = number != 0,
        TCP_MAXSEG if number == 0 => settings.tcp.max_segment = None,
        TCP_MAXSEG if (88..=32_767).contains(&number) => settings.tcp.max_segment = Some(number as u16),
        TCP_MAXSEG => return Err(Errno(libc::EINVAL)),
        TCP_KEEPIDLE => settings.keep.idle = seconds(32_767)?,
        TCP_KEEPINTVL => settings.keep.interval = seconds(32_767)?,
        TCP_KEEPCNT => settings.keep.count = positive(number, 127)?,
        TCP_SYNCNT => settings.tcp.syn_retries = positive(number, 127)?,
        TCP_LINGER2 => settings.tcp.fin_wait_2 = seconds(i32::MAX)?,
        TCP_USER_TIMEOUT if number < 0 => return Err(Errno(libc::EINVAL)),
        TCP_USER_TIMEOUT if number == 0 => settings.tcp.user_timeout = world.flags.tcp.user_timeout,
        TCP_USER_TIMEOUT => settings.tcp.user_timeout = Some(Duration::from_millis(number as u64)),
        TCP_NOTSENT_LOWAT => settings.not_sent_low_water = Some(number as u32).filter(|most| *most != u32::MAX),
        TCP_QUICKACK => stream.set_quick_ack(world, number != 0),
        _ => return Err(Errno(libc::ENOPROTOOPT)),
    }
    Ok(())
}

fn bytes(number: i32) -> Option<Vec<u8>> {
    Some(number.to_ne_bytes().to_vec())
}

fn flag(on: bool) -> Option<Vec<u8>> {
    bytes(i32::from(on))
}

fn socket(settings: &Settings, name: i32) -> Option<Vec<u8>> {
    match name {
        SO_DOMAIN => bytes(libc::AF_INET),
        SO_REUSEADDR => flag(settings.reuse_address),
        SO_KEEPALIVE => flag(settings.keepalive),
        SO_BROADCAST => flag(settings.broadcast),
        SO_PRIORITY => bytes(settings.priority),
        SO_RCVBUF => bytes(settings.receive_buffer),
        SO_SNDBUF => bytes(settings.send_buffer),
        SO_LINGER => {
            let on = i32::from(settings.linger.is_some()).to_ne_bytes();
            Some([on, settings.linger.unwrap_or(0).to_ne_bytes()].concat())
        }
        _ => None,
    }
}

fn stream_socket(stream: &mut Stream, world: &mut World, name: i32) -> Option<Vec<u8>> {
    match name {
        SO_TYPE => bytes(libc::SOCK_STREAM),
        SO_PROTOCOL => bytes(IPPROTO_TCP),
        SO_ERROR => bytes(stream.take_error(world).map_or(0, |error| error.0)),
        SO_ACCEPTCONN => flag(matches!(stream.state, State::Listening(_))),
        _ => socket(&stream.settings, name),
    }
}

fn datagram_socket(datagram: &mut Datagram, world: &mut World, name: i32) -> Option<Vec<u8>> {
    match name {
        SO_TYPE => bytes(libc::SOCK_DGRAM),
        SO_PROTOCOL => bytes(IPPROTO_UDP),
        SO_ERROR => bytes(datagram.take_error(world).map_or(0, |error| error.0)),
        SO_ACCEPTCONN => flag(false),
        _ => socket(&datagram.settings, name),
    }
}

fn ip(settings: &Settings, name: i32) -> Option<Vec<u8>> {
    match name {
        IP_TOS => bytes(i32::from(settings.tcp.traffic_class)),
        IP_TTL => bytes(i32::from(settings.tcp.hop_limit)),
        IP_MTU_DISCOVER => bytes(settings.mtu_discover),
        _ => None,
    }
}

fn stream_ip(stream: &Stream, world: &mut World, name: i32) -> Result<Option<Vec<u8>>, Errno> {
    if name != IP_MTU {
        return Ok(ip(&stream.settings, name));
    }
    let info = stream.info(world).ok_or(Errno(libc::ENOTCONN))?;
    Ok(bytes(info.path_mtu_bytes as i32))
}

fn datagram_ip(datagram: &Datagram, world: &mut World, name: i32) -> Result<Option<Vec<u8>>, Errno> {
    if name != IP_MTU {
        return Ok(ip(&datagram.settings, name));
    }
    let peer = datagram.peer_addr(world).ok_or(Errno(libc::ENOTCONN))?;
    Ok(bytes(i32::from(world.udp(|_, cx| cx.paths.mtu_to(peer.ip())))))
}

fn tcp(stream: &mut Stream, world: &mut World, name: i32) -> Result<Vec<u8>, Errno> {
    let info = stream.info(world);
    let settings = &stream.settings;
    let seconds = |duration: Duration| bytes(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    let answer = match name {
        TCP_INFO => Some(segment_info::layout(stream.tcp_state(world), info.as_ref())),
        TCP_NODELAY => flag(!settings.tcp.nagle),
        TCP_CORK => flag(settings.cork),
        TCP_MAXSEG => bytes(info.map_or(536, |info| info.mss_bytes) as i32),
        TCP_KEEPIDLE => seconds(settings.keep.idle),
        TCP_KEEPINTVL => seconds(settings.keep.interval),
        TCP_KEEPCNT => bytes(settings.keep.count as i32),
        TCP_SYNCNT => bytes(settings.tcp.syn_retries as i32),
        TCP_LINGER2 => seconds(settings.tcp.fin_wait_2),
        TCP_USER_TIMEOUT => bytes(settings.tcp.user_timeout.map_or(0, |patience| patience.as_millis() as i32)),
        TCP_NOTSENT_LOWAT => bytes(settings.not_sent_low_water.unwrap_or(u32::MAX) as i32),
        TCP_QUICKACK => flag(settings.quick_ack),
        TCP_CONGESTION => {
            let mut name = algorithm_name(settings.tcp.congestion).as_bytes().to_vec();
            name.resize(16, 0);
            Some(name)
        }
        _ => None,
    };
    answer.ok_or(Errno(libc::ENOPROTOOPT))
}
