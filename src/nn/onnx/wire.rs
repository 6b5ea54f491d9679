//! The wire format of protocol buffers, as far as ONNX uses it: reading without copies, and writing.
//!
//! A reader of our own, because files come from anywhere: it never allocates by what a file claims and never descends by
//! itself, so a file of nested messages cannot exhaust the stack. The crates `rten-onnx` and `prost` recurse or need a
//! build step.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// A number of up to 64 bits.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// Four bytes.
    Fixed32([u8; 4]),
    /// A message, a string, or packed numbers.
    Bytes(&'a [u8]),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

type Result<T> = std::result::Result<T, Broken>;

/// The fields of a message, in the order of the file. It ends after the first that is broken.
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of the message in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn field(&mut self) -> Result<(u64, Payload<'a>)> {
        let key = varint(&mut self.0)?;
        let payload = match key & 7 {
            0 => Payload::Varint(varint(&mut self.0)?),
            1 => Payload::Fixed64(*self.take_chunk()?),
            5 => Payload::Fixed32(*self.take_chunk()?),
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).map_err(|_| Broken)?;
                let (bytes, rest) = self.0.split_at_checked(len).ok_or(Broken)?;
                self.0 = rest;
                Payload::Bytes(bytes)
            }
            _ => return Err(Broken),
        };
        Ok((key >> 3, payload))
    }

    fn take_chunk<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(chunk)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Payload<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Broken)?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(Broken)
}

impl<'a> Payload<'a> {
    /// A message or a string.
    pub fn bytes(self) -> Result<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Broken) }
    }

    /// A string; letters that are none are replaced.
    pub fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// A whole number.
    pub fn integer(self) -> Result<i64> {
        if let Self::Varint(value) = self { Ok(value as i64) } else { Err(Broken) }
    }

    /// A number of 32 bits.
    pub fn float(self) -> Result<f32> {
        if let Self::Fixed32(bytes) = self { Ok(f32::from_le_bytes(bytes)) } else { Err(Broken) }
    }

    /// Appends one whole number, or all of a packed field.
    pub fn integers_into(self, all: &mut Vec<i64>) -> Result<()> {
        match self {
            Self::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    all.push(varint(&mut bytes)? as i64);
                }
                Ok(())
            }
            other => other.integer().map(|value| all.push(value)),
        }
    }

    /// Appends one number of 32 bits, or all of a packed field.
    pub fn floats_into(self, all: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks();
                all.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
                if rest.is_empty() { Ok(()) } else { Err(Broken) }
            }
            other => other.float().map(|value| all.push(value)),
        }
    }

    /// Appends one number of 64 bits, or all of a packed field.
    pub fn doubles_into(self, all: &mut Vec<f64>) -> Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let (chunks, rest) = bytes.as_chunks();
                all.extend(chunks.iter().map(|chunk| f64::from_le_bytes(*chunk)));
                if rest.is_empty() { Ok(()) } else { Err(Broken) }
            }
            Self::Fixed64(bytes) => {
                all.push(f64::from_le_bytes(bytes));
                Ok(())
            }
            _ => Err(Broken),
        }
    }
}

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 128 {
            self.0.push((value & 127) as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// With a whole number.
    #[must_use]
    pub fn integer(mut self, field: u64, value: i64) -> Self {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    /// With a number of 32 bits.
    #[must_use]
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// With bytes or a string.
    #[must_use]
    pub fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.key(field, 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    /// With a message.
    #[must_use]
    pub fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// With several messages of one field.
    #[must_use]
    pub fn messages(self, field: u64, messages: &[Self]) -> Self {
        messages.iter().fold(self, |whole, message| whole.message(field, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let inner = Message::default().integer(1, -5).float(2, 0.5);
        let bytes = Message::default().bytes(3, "name").message(4, &inner).integer(300, 1 << 40).into_bytes();
        let fields: Vec<_> = Fields::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(fields[0].1.text().unwrap(), "name");
        let own: Vec<_> = Fields::new(fields[1].1.bytes().unwrap()).map(Result::unwrap).collect();
        assert_eq!((own[0].1.integer(), own[1].1.float()), (Ok(-5), Ok(0.5)));
        assert_eq!((fields[2].0, fields[2].1.integer()), (300, Ok(1 << 40)));
    }

    #[test]
    fn a_field_that_claims_more_than_there_is_is_broken_and_costs_nothing() {
        for bytes in [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f, 1][..], &[0x0a], &[0xff; 12], &[0x0b], &[0x0d, 1]]
        {
            assert_eq!(Fields::new(bytes).last(), Some(Err(Broken)), "{bytes:?}");
        }
    }
}
