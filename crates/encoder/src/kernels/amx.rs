//! Products in Intel's matrix unit (AMX): tiles of 16 rows of 64 bytes, of which one instruction multiplies two and adds to
//! a third.
//!
//! The bytes of a row are 16 *elements* of four bytes, a pair of bf16 or four whole numbers of 8 bits. As `b`'s tile has an
//! element of each column side by side, panels are those of the vector kernels, and `a` lies in rows as they are. Sums are of
//! four bytes too, `f32` or whole numbers. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1,
//! chapter 18.)
//!
//! An instruction adds up the first products of its 16 pairs and the second ones apart, and then both to the sum (volume 2,
//! TDPBF16PS), so the last bits are others than with vectors. Steps of 16 elements begin at the first, and what is left is a
//! step of its own: an element's sum does not depend on how many other rows there are.
//!
//! Rust has no stable functions for these instructions, so they stand in assembly, one whole chain of sums at a time: no tile
//! holds anything between two of them but its shape.

use std::{arch::asm, cell::Cell, marker::PhantomData, sync::OnceLock};

/// Rows of a tile, and elements in one of its rows.
const TILE: usize = 16;
/// Rows of the largest block.
pub(super) const ROWS: usize = 2 * TILE;
/// Columns of a panel.
const PANEL: usize = 3 * TILE;

/// What a product is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elements {
    /// Of bf16, with sums in `f32`.
    Pairs,
    /// Of whole numbers, those of `a` without sign, with sums in `i32`.
    Bytes,
}

/// Whether the processor has tiles for such elements, and AVX-512 for what goes with them, and the system lets this process use
/// them, for which it is asked when this is first called.
pub(super) fn present(elements: Elements) -> bool {
    static PRESENT: OnceLock<[bool; 2]> = OnceLock::new();
    PRESENT.get_or_init(|| {
        if !super::has_avx512() {
            return [false; 2];
        }
        // Leaf 7, which processors with AVX-512 have: AMX-BF16, AMX-TILE, AMX-INT8.
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        let has = |bit: u32| features >> bit & 1 == 1;
        let permitted = has(24) && permission();
        [permitted && has(22), permitted && has(25)]
    })[elements as usize]
}

/// Asks for the registers' state to be kept when the system changes threads, which takes 8 KiB for each of them. A kernel that grants
/// this has turned the registers on.
#[cfg(target_os = "linux")]
fn permission() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    // SAFETY: the request changes nothing but this permission; a kernel that does not know it refuses.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn permission() -> bool {
    false
}

/// The unit in use by this thread, until this is dropped.
pub(crate) struct Tiles {
    instructions: &'static Instructions,
    /// Rows of the tiles of `a` and of the sums, once they have a shape.
    rows: Option<usize>,
    /// The registers are the thread's.
    unsendable: PhantomData<*const ()>,
}

thread_local! {
    static IN_USE: Cell<bool> = const { Cell::new(false) };
}

impl Tiles {
    /// None where there are none for such elements. A thread has one at a time.
    pub(crate) fn get(elements: Elements) -> Option<Self> {
        if !present(elements) {
            return None;
        }
        Some(Self::with([&PAIRS, &BYTES][elements as usize]))
    }

    fn with(instructions: &'static Instructions) -> Self {
        assert!(!IN_USE.replace(true), "a thread has one set of tiles: this is a bug");
        Self { instructions, rows: None, unsendable: PhantomData }
    }

    /// Shapes the tiles, unless they are so.
    fn set_rows(&mut self, rows: usize) {
        if self.rows == Some(rows) {
            return;
        }
        assert!((1..=TILE).contains(&rows), "a tile has up to 16 rows: this is a bug");
        // SAFETY: the unit is present if there is a `Self`.
        unsafe { (self.instructions.shape)(rows) };
        self.rows = Some(rows);
    }

    /// A block of up to [`ROWS`] rows of `a`, whose rows of `inner` elements begin `stride` elements apart, times a panel of so
    /// many vectors; its sums are written to `to`, or added to what is there.
    ///
    /// # Safety
    /// `a`, `panel` and `to` hold what the sizes say, aligned to elements, and nobody else uses `to`.
    pub(super) unsafe fn block(
        &mut self,
        (rows, inner, vectors): (usize, usize, usize),
        (a, stride): (*const u32, usize),
        panel: *const u32,
        (to, to_stride): (*mut u32, usize),
        add: bool,
    ) {
        let whole = inner / TILE * TILE;
        let rest = inner - whole;
        let width = vectors * TILE;
        let steps = whole / TILE;
        let operands = Operands { steps, a, stride, panel, panel_stride: width, to, to_stride, add };
        // SAFETY: the caller's.
        unsafe {
            if whole > 0 {
                self.steps(rows, operands);
            }
            if rest > 0 {
                // The tiles' other elements are zeros, not whatever lies there.
                let mut a_rest = CacheLines([0; ROWS * TILE]);
                for row in 0..rows {
                    a.add(row * stride + whole).copy_to_nonoverlapping(&raw mut a_rest.0[row * TILE], rest);
                }
                let mut panel_rest = CacheLines([0; TILE * PANEL]);
                panel.add(whole * width).copy_to_nonoverlapping(panel_rest.0.as_mut_ptr(), rest * width);
                let (a, panel) = (a_rest.0.as_ptr(), panel_rest.0.as_ptr());
                self.steps(rows, Operands { steps: 1, a, stride: TILE, panel, add: add || whole > 0, ..operands });
            }
        }
    }

    /// [`Self::block`] of whole steps.
    ///
    /// # Safety
    /// As there.
    unsafe fn steps(&mut self, rows: usize, operands: Operands) {
        let Instructions { two_by_three, one_by_three, one_by_one, .. } = self.instructions;
        let Operands { a, stride, panel, panel_stride: width, to, to_stride, .. } = operands;
        // SAFETY: the caller's; the unit is present if there is a `Self`, and shaped before each chain.
        unsafe {
            if (rows, width) == (ROWS, PANEL) {
                self.set_rows(TILE);
                return two_by_three(&operands);
            }
            for top in (0..rows).step_by(TILE) {
                self.set_rows(TILE.min(rows - top));
                let operands = Operands { a: a.add(top * stride), to: to.add(top * to_stride), ..operands };
                if width == PANEL {
                    one_by_three(&operands);
                    continue;
                }
                for left in (0..width).step_by(TILE) {
                    one_by_one(&Operands { panel: panel.add(left), to: operands.to.add(left), ..operands });
                }
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        IN_USE.set(false);
        // SAFETY: the unit is present if there is a `Self`.
        unsafe { (self.instructions.release)() };
    }
}

/// What the unit does with one kind of elements.
struct Instructions {
    /// Gives the tiles of `a` and of sums so many rows.
    shape: unsafe fn(usize),
    release: unsafe fn(),
    two_by_three: Chain,
    one_by_three: Chain,
    one_by_one: Chain,
}

static PAIRS: Instructions = Instructions {
    shape,
    release,
    two_by_three: pairs::two_by_three,
    one_by_three: pairs::one_by_three,
    one_by_one: pairs::one_by_one,
};
static BYTES: Instructions = Instructions {
    two_by_three: bytes::two_by_three,
    one_by_three: bytes::one_by_three,
    one_by_one: bytes::one_by_one,
    ..PAIRS
};

/// # Safety
/// The unit is present, and there are 1 to 16 rows.
unsafe fn shape(rows: usize) {
    /// Number of the tile of `b`, which always has all rows.
    const B: usize = 7;
    /// Palette, bytes of each tile's rows, and their number, as the instruction reads them.
    #[repr(C)]
    struct Shapes {
        palette: u8,
        first_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    let mut shapes = Shapes { palette: 1, first_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    shapes.row_bytes[..=B].fill(4 * TILE as u16);
    shapes.rows[..B].fill(rows as u8);
    shapes.rows[B] = TILE as u8;
    // SAFETY: the caller's, and the shapes are possible ones.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags)) };
}

/// # Safety
/// The unit is present.
unsafe fn release() {
    // SAFETY: the caller's.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
}

/// Multiplies the pairs of six tiles in registers, so many times, at least once; returns the number of operations, or none without
/// such tiles.
pub(crate) fn multiply_pairs(rounds: usize) -> Option<f64> {
    assert!(rounds > 0, "the loop ends at 0: this is a bug");
    let mut tiles = Tiles::get(Elements::Pairs)?;
    tiles.set_rows(TILE);
    // SAFETY: the unit is present if there are tiles.
    unsafe {
        asm!(
            "2:",
            "tdpbf16ps tmm0, tmm6, tmm7",
            "tdpbf16ps tmm1, tmm6, tmm7",
            "tdpbf16ps tmm2, tmm6, tmm7",
            "tdpbf16ps tmm3, tmm6, tmm7",
            "tdpbf16ps tmm4, tmm6, tmm7",
            "tdpbf16ps tmm5, tmm6, tmm7",
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) rounds => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, nomem),
        );
    }
    Some((6 * 2 * TILE * TILE * 2 * TILE * rounds) as f64)
}

/// What a tile's rows are best read from.
#[repr(align(64))]
struct CacheLines<const N: usize>([u32; N]);

/// What a chain multiplies, and where its sums are; strides in elements.
#[derive(Clone, Copy)]
struct Operands {
    /// Of [`TILE`] elements, at least one.
    steps: usize,
    a: *const u32,
    stride: usize,
    panel: *const u32,
    panel_stride: usize,
    to: *mut u32,
    to_stride: usize,
    /// Whether sums are added to what is there.
    add: bool,
}

type Chain = unsafe fn(&Operands);

/// A function of [`Chain`] for tiles of sums, each at a place in the first (`to`) or second (`below`) 16 rows, with the
/// instructions of a step. There tile 6 is of `a` and tile 7 of `b`.
macro_rules! chain {
    ($name:ident, [$($sum:literal $place:literal),+], [$($instruction:literal $operands:literal),+]) => {
        /// # Safety
        /// The unit is present and shaped, there are one step or more, the operands and sums are there, and nobody else uses the
        /// sums.
        pub(super) unsafe fn $name(operands: &super::Operands) {
            let super::Operands { steps, a, stride, panel, panel_stride, to, to_stride, add } = *operands;
            // SAFETY: the caller's; where there is one row of tiles, what lies below is not used.
            unsafe {
                asm!(
                    // Not all chains use it, as every operand must be.
                    "/* {below} */",
                    "test {add}, {add}",
                    "jnz 2f",
                    $(concat!("tilezero ", $sum),)+
                    "jmp 3f",
                    "2:",
                    $(concat!("tileloadd ", $sum, ", [", $place, "]"),)+
                    "3:",
                    $(concat!($instruction, " ", $operands),)+
                    "add {a}, 64",
                    "add {a_below}, 64",
                    "add {b}, {step}",
                    "dec {steps}",
                    "jnz 3b",
                    $(concat!("tilestored [", $place, "], ", $sum),)+
                    add = in(reg) usize::from(add),
                    steps = inout(reg) steps => _,
                    a = inout(reg) a => _,
                    a_below = inout(reg) a.wrapping_add(super::TILE * stride) => _,
                    a_stride = in(reg) 4 * stride,
                    b = inout(reg) panel => _,
                    b_stride = in(reg) 4 * panel_stride,
                    step = in(reg) super::TILE * 4 * panel_stride,
                    to = in(reg) to,
                    below = in(reg) to.wrapping_add(super::TILE * to_stride),
                    to_stride = in(reg) 4 * to_stride,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The three chains, multiplying by one instruction.
macro_rules! chains {
    ($module:ident, $multiply:literal) => {
        mod $module {
            use std::arch::asm;

            // Seven loads for six products; a load takes half of a product's time.
            chain!(
                two_by_three,
                [
                    "tmm0" "{to} + {to_stride}*1",
                    "tmm1" "{to} + {to_stride}*1 + 64",
                    "tmm2" "{to} + {to_stride}*1 + 128",
                    "tmm3" "{below} + {to_stride}*1",
                    "tmm4" "{below} + {to_stride}*1 + 64",
                    "tmm5" "{below} + {to_stride}*1 + 128"
                ],
                [
                    "tileloadd" "tmm6, [{a} + {a_stride}*1]",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1]",
                    $multiply "tmm0, tmm6, tmm7",
                    "tileloadd" "tmm6, [{a_below} + {a_stride}*1]",
                    $multiply "tmm3, tmm6, tmm7",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1 + 64]",
                    $multiply "tmm4, tmm6, tmm7",
                    "tileloadd" "tmm6, [{a} + {a_stride}*1]",
                    $multiply "tmm1, tmm6, tmm7",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1 + 128]",
                    $multiply "tmm2, tmm6, tmm7",
                    "tileloadd" "tmm6, [{a_below} + {a_stride}*1]",
                    $multiply "tmm5, tmm6, tmm7"
                ]
            );
            chain!(
                one_by_three,
                [
                    "tmm0" "{to} + {to_stride}*1",
                    "tmm1" "{to} + {to_stride}*1 + 64",
                    "tmm2" "{to} + {to_stride}*1 + 128"
                ],
                [
                    "tileloadd" "tmm6, [{a} + {a_stride}*1]",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1]",
                    $multiply "tmm0, tmm6, tmm7",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1 + 64]",
                    $multiply "tmm1, tmm6, tmm7",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1 + 128]",
                    $multiply "tmm2, tmm6, tmm7"
                ]
            );
            chain!(
                one_by_one,
                ["tmm0" "{to} + {to_stride}*1"],
                [
                    "tileloadd" "tmm6, [{a} + {a_stride}*1]",
                    "tileloadd" "tmm7, [{b} + {b_stride}*1]",
                    $multiply "tmm0, tmm6, tmm7"
                ]
            );
        }
    };
}

chains!(pairs, "tdpbf16ps");
chains!(bytes, "tdpbusd");

/// The unit in plain Rust, for processors that have none; sums of pairs are added up in another order.
#[cfg(test)]
pub(super) mod emulated {
    use std::cell::Cell;

    use super::{Chain, Elements, IN_USE, Instructions, Operands, TILE, Tiles};

    thread_local! {
        static ROWS: Cell<usize> = const { Cell::new(0) };
    }

    pub(in crate::kernels) fn tiles(elements: Elements) -> Tiles {
        static PAIRS: Instructions = instructions(chain::<2, 3, false>, chain::<1, 3, false>, chain::<1, 1, false>);
        static BYTES: Instructions = instructions(chain::<2, 3, true>, chain::<1, 3, true>, chain::<1, 1, true>);
        Tiles::with([&PAIRS, &BYTES][elements as usize])
    }

    const fn instructions(two_by_three: Chain, one_by_three: Chain, one_by_one: Chain) -> Instructions {
        Instructions { shape: |rows| ROWS.set(rows), release: || ROWS.set(0), two_by_three, one_by_three, one_by_one }
    }

    /// Of `DOWN` by `ACROSS` tiles.
    unsafe fn chain<const DOWN: usize, const ACROSS: usize, const BYTES: bool>(operands: &Operands) {
        let Operands { steps, a, stride, panel, panel_stride, to, to_stride, add } = *operands;
        assert!(IN_USE.get() && ROWS.get() > 0 && steps > 0, "the tiles have a shape");
        for row in (0..DOWN).flat_map(|tile| (0..ROWS.get()).map(move |row| tile * TILE + row)) {
            for column in 0..ACROSS * TILE {
                // SAFETY: the caller's.
                unsafe {
                    let to = to.add(row * to_stride + column);
                    let factors =
                        (0..steps * TILE).map(|k| (*a.add(row * stride + k), *panel.add(k * panel_stride + column)));
                    let before = if add { *to } else { 0 };
                    *to = if BYTES { sum_of_bytes(before, factors) } else { sum_of_pairs(before, factors) };
                }
            }
        }
    }

    fn sum_of_bytes(before: u32, factors: impl Iterator<Item = (u32, u32)>) -> u32 {
        let product = |(p, q): (u32, u32)| -> i32 {
            let bytes = p.to_le_bytes().into_iter().zip(q.to_le_bytes());
            bytes.map(|(p, q)| i32::from(p) * i32::from(q.cast_signed())).sum()
        };
        (before.cast_signed() + factors.map(product).sum::<i32>()).cast_unsigned()
    }

    fn sum_of_pairs(before: u32, factors: impl Iterator<Item = (u32, u32)>) -> u32 {
        let numbers = |pair: u32| [pair << 16, pair & 0xffff_0000].map(f32::from_bits);
        let products = factors.map(|(a, b)| {
            let ([a, b], [c, d]) = (numbers(a), numbers(b));
            a * c + b * d
        });
        products.fold(f32::from_bits(before), |sum, product| sum + product).to_bits()
    }
}
