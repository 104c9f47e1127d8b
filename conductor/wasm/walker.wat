;; Trusted: finds how far the records of a ring buffer are committed (kernel/bpf/ringbuf.c). It sees a copy only.
;; A header is a u32 length with BUSY in bit 31 and DISCARD in bit 30, then a u32; data follows, rounded up to 8.
(module
  (memory (export "memory") 17)
  ;; From `at`, step over at most `records` records that end before `end` and take `most` bytes or fewer together.
  ;; Answers the bytes stepped over, shifted left by 32, and how many of the records are not discarded.
  (func (export "walk") (param $at i32) (param $end i32) (param $most i32) (param $records i32) (result i64)
    (local $header i32) (local $size i32) (local $total i32) (local $kept i32)
    (block $stop
      (loop $next
        (br_if $stop (i32.eqz (local.get $records)))
        (br_if $stop (i32.gt_u (i32.add (local.get $at) (i32.const 8)) (local.get $end)))
        (local.set $header (i32.load (local.get $at)))
        (br_if $stop (i32.lt_s (local.get $header) (i32.const 0)))
        (local.set $size
          (i32.and (i32.add (i32.and (local.get $header) (i32.const 0x3fffffff)) (i32.const 15)) (i32.const -8)))
        (br_if $stop (i32.gt_u (local.get $size) (i32.sub (local.get $end) (local.get $at))))
        (br_if $stop (i32.gt_u (local.get $size) (i32.sub (local.get $most) (local.get $total))))
        (local.set $total (i32.add (local.get $total) (local.get $size)))
        (local.set $at (i32.add (local.get $at) (local.get $size)))
        (local.set $kept
          (i32.add (local.get $kept) (i32.eqz (i32.and (local.get $header) (i32.const 0x40000000)))))
        (local.set $records (i32.sub (local.get $records) (i32.const 1)))
        (br $next)))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $total)) (i64.const 32))
      (i64.extend_i32_u (local.get $kept)))))
