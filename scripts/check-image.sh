#!/bin/sh
# Checks the image's disassembly. Not allowed: floating-point and vector instructions (the kernel does not save their
# registers) except those that copy the pool's blocks; quad-word and string accesses (an ultravisor that emulates MMIO
# does not support them); transactional and hypervisor instructions; and words that are no instruction (an illegal
# one ends a secure guest at once). Allowed: the big-endian half of an entry for both byte orders, and zeros as padding
# after an instruction that never falls through. Also not allowed: undefined symbols, relocations that the image cannot
# apply to itself, and memory that is both writable and executable.
#   scripts/check-image.sh FILE
# Also: each of the 256 slots of the vectors is a whole entry, and only they use r13. Code that runs before the CPU's
# version is known uses only the oldest CPUs' instructions (big-endian: Power ISA 2.01, little-endian: 2.07), and so does
# the code that reports an old CPU.
# No instruction's encoding names VSR32 to VSR63; and at each `sc 1` and `sc 2` registers beyond the arguments are
# cleared.
# case!("IRQ-09", Ignore, C)
# case!("VEC-05", Refuse, C)
set -eu
file=${1:?usage: scripts/check-image.sh FILE}
tool=powerpc64le-linux-gnu-
work=$(mktemp)
trap 'rm -f "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
"${tool}objdump" -d -M power9 --no-show-raw-insn "$file" >"$work"

found=$(awk '
    /^[0-9a-f]+ <.*>:$/ { symbol = $2; sub(/:$/, "", symbol); next }
    /^ *[0-9a-f]+:\t/ {
        count++
        op = $2; sub(/[+-]$/, "", op); why = ""; addr = $1; sub(/:$/, "", addr)
        # `tdi 0,r0,72` and a branch are the entry trampoline: the code that it jumps over is for the other byte order.
        if (addr == "0" && op == "tdi" && $3 == "0,r0,72") { trampoline = 1; next }
        if (trampoline && addr == "4" && op == "b") { resume = $3; sub(/^0x/, "", resume); skip = 1; next }
        if (addr == resume) skip = 0
        if (skip || symbol ~ /^<postern_old_processor(_data)?>$/) next
        ends = op ~ /^(b|blr|bctr|rfid|trap)$/
        if (op == ".long" && $3 == "0x0" && last) next
        last = ends
        # The first access to memory that may not exist: 16 bytes by vs0, loaded and stored at once.
        if (probe) {
            probe = 0
            if (op == "stxvd2x" && $3 ~ /^vs0,0,r/) next
            why = "vector"
        } else if (op == "lxvd2x" && $3 ~ /^vs0,0,r/) { probe = 1; next }
        # The loops that copy blocks of the pool, one or four per iteration: lxv of vs0 to vs7, the block may be cleared, stxv
        # of the same. The next block of an iteration follows directly.
        if (!step && op != "lxv") follows = 0
        if (step || op " " $3 ~ /^lxv vs0,[0-9]+\(/) {
            split($3, part, /[(),]/)
            if (step == 0) { at = part[2] + 0; whole = at == 0 || at == follows && part[3] == from; from = part[3]; follows = 0 }
            if (step == 8 && op == "dcbz" && (at == 0 ? $3 == "0," base : $3 ~ "^r[1-9][0-9]*," base "$") && !cleared++) next
            if (step == 0 || step == 8) { base = part[3]; cleared = 0 }
            if (whole && op == (step < 8 ? "lxv" : "stxv") && $3 == "vs" step % 8 "," at + step % 8 * 16 "(" base ")" && base != "r1") {
                step = (step + 1) % 16
                if (step == 0 && at < 384) follows = at + 128
                next
            }
            step = 0; why = "vector"
        }
        if (op ~ /^(f[a-z]|lf[sdi]|stf|mffs|mtfs|mcrfs|d(add|sub|mul|div|cmp[ou]|qua|rin|ct|rsp|den|enb|xex|iex|sc[lr]|tst))/) why = "floating point"
        else if (op ~ /^(v[a-z]|xs[a-z]|xv[a-z]|xx[a-z]|l[x]?v|stv|stxv|lxs|stxs|m[tf](vs|vr|fpr|vscr)|dst|dss|bcd)/) why = "vector"
        else if (op ~ /^(lq|stq|lmw|stmw|lsw|stsw)/) why = "quad-word, multiple or string access"
        else if (op ~ /^(tbegin|tend|tabort|tsuspend|tresume|tsr|trecl|trechkpt|tcheck)/) why = "transactional memory"
        else if (op ~ /^(hrfid|urfid|stop|nap|doze|sleep|rvwinkle|attn|scv|rfscv|msgsnd)/) why = "not for a guest"
        else if (op ~ /^\.(long|quad|8byte|short|byte)/) why = "no instruction"
        # Firmware has its own value in r13; the entries set it to 0.
        else if (op $3 ~ /[^a-z]r13([^0-9]|$)|^[a-z.]+r13([^0-9]|$)/ && symbol !~ /client_call|postern_(secondary_entry|own_registers|enter_esm)|_start/) why = "r13 is the vectors own"
        if (why != "") { bad++; if (bad <= 20) print $1, symbol ": " $2, $3, "(" why ")" }
    }
    END {
        if (bad > 20) print "and", bad - 20, "more"
        if (step) print "the copy of a block never ends"
        if (probe) print "a vector load is not stored"
        if (skip) print "the entry trampoline never resumes"
        if (count == 0) print "no instruction at all: is this a powerpc64le file?"
        print count + 0 > "/dev/stderr"
    }' "$work" 2>"$work.count") || true
count=$(cat "$work.count"); rm -f "$work.count"

# Slots: `tdi 0,r0,72`, a branch over the big-endian word, that word, `mtsprg 2,r13`, then `li r13` and a branch, or a
# branch, and traps. Words in the order of the file's bytes.
vectors=$("${tool}nm" "$file" | awk '$3 == "vectors_start" { print $1 }')
if [ -n "$vectors" ]; then
    slots=$("${tool}objdump" -s -j .rodata --start-address="0x$vectors" --stop-address=$((0x$vectors + 0x2000)) "$file" | awk -v first="$vectors" '
        /^ [0-9a-f]+ / {
            for (i = 2; i <= 5; i++) word[n++] = $i
        }
        END {
            for (slot = 0; slot < n / 8; slot++) {
                at = slot * 8; last = word[at + 4] ~ /a039$/ ? 5 : 4
                bad = word[at] != "48000008" || word[at + 1] != "08000048" || word[at + 2] !~ /^4800[0-9a-f][0-9a-f][0-9a-f][048c]$/
                bad = bad || word[at + 3] != "a643b27d" || word[at + last] !~ /^[0-9a-f][048c][0-9a-f][0-9a-f]0048$/
                for (i = last + 1; i < 8; i++) bad = bad || word[at + i] != "0800e07f"
                if (bad) printf "vectors: the slot at 0x%x is no whole entry\n", slot * 32
            }
            if (n != 2048) print "vectors: not 256 slots"
        }')
    [ -z "$slots" ] || found="$found
$slots"
fi

# No call leaves other values of the caller in a register: the code before it sets all of r0 and r3 to r12, without a
# label or a branch in between that cannot be followed. Argument registers may keep the caller's values: as many as the
# hypercall of this number has.
calls=$(awk '
    function reset() { split("", set); number = "" }
    FNR == NR {
        if ($2 ~ /^b/ && NF >= 3) { n = split($3, part, ","); sub(/^0x/, "", part[n]); to[part[n]] = 1 }
        next
    }
    FNR == 1 {
        n = split("28:2 32:3 60:2 64:3 84:1 88:4 100:1 104:1 108:2 204:4 224:0 312:4 892:4 61440:1", known, /[ :]/)
        for (i = 1; i < n; i += 2) arguments[known[i]] = known[i + 1]
    }
    /^[0-9a-f]+ <.*>:$/ { reset(); next }
    /^ *[0-9a-f]+:\t/ {
        addr = $1; sub(/:$/, "", addr); op = $2; sub(/[+-]$/, "", op)
        if (addr in to) reset()
        if (op == "sc" && $3 > 0) {
            own = $3 == 1 && number in arguments ? arguments[number] : 0; left = ""
            for (i = 0; i <= 12; i++) if (i != 1 && i != 2 && !(i in set) && !(i > 3 && i <= 3 + own)) left = left " r" i
            if (left != "") print addr ": sc " $3 " leaves what was in" left
            reset()
        } else if (op ~ /^(b|blr|bctr|rfid|trap)$/) reset()
        else if (op ~ /^(bl|bctrl|bcl)$/) reset()
        else if (op !~ /^(st|cmp|b|t[dw]|mt|dcb|icb|sync|isync|hwsync|lwsync|ptesync|tlb|slb|nop|cr)/) {
            split($3, part, ",")
            if (part[1] ~ /^r[0-9]+$/) { sub(/^r/, "", part[1]); set[part[1] + 0] = 1 }
            if (op == "li" && part[1] == 3) number = part[2]
            else if (op == "lis" && part[1] == 3) number = part[2] * 65536
            else if (op == "ori" && part[1] == 3) number = part[2] == "r3" ? number + part[3] : part[3]
            else if (part[1] == 3) number = ""
        }
    }' "$work" "$work")
[ -z "$calls" ] || found="$found
$calls"

# VSR32 to VSR63 by encoding: all of VMX (opcode 4 except its three GPR instructions), VSX with two or three registers
# (opcode 60; opcodes 59 and 63 name none above 31), and each load, store and move that has the bit for the upper half
# set or always uses it.
upper=$("${tool}objdump" -d -M power9 "$file" | awk '
    function hex(s,  v, i) { v = 0; for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return v }
    /^[0-9a-f]+ <.*>:$/ { old = $2 ~ /^<postern_old_processor(_data)?>:$/; next }
    # The code that the entry trampoline jumps over, and the code that reports an old CPU, is of the other byte order.
    $1 == "4:" && $6 == "b" { resume = $7; next }
    $1 == resume ":" { resume = "" }
    resume != "" || old { next }
    /^ *[0-9a-f]+:\t/ && NF >= 5 && $6 !~ /^\./ {
        word = hex($5 $4 $3 $2); opcode = int(word / 67108864); x = int(word / 2) % 1024; bit = word % 2; why = ""
        if (opcode == 4) why = int(word) % 64 !~ /^(48|49|51)$/
        else if (opcode == 60) why = 1
        else if (opcode == 57) why = word % 4 >= 2
        else if (opcode == 61) why = word % 4 >= 2 || word % 4 == 1 && int(word / 8) % 2
        # VMX: lvebx lvehx lvewx lvx lvxl lvsl lvsr stvebx stvehx stvewx stvx stvxl
        else if (opcode == 31 && x ~ /^(7|39|71|103|359|6|38|135|167|199|231|487)$/) why = 1
        # VSX: loads and stores with or without a length, moves; their last bit is the upper half.
        else if (opcode == 31 && x ~ /^(12|76|140|268|269|301|332|364|396|397|429|524|588|652|716|780|781|813|844|876|908|909|940|941|972|1004|51|115|307|179|211|243|403|435)$/) why = bit
        if (why) print $1, "VSR32 to VSR63: " $6, $7
    }')
[ -z "$upper" ] || found="$found
$upper"

# From the start of each byte order: no branch and no unknown word before `mfpvr`, and the comparison follows directly.
symbol() { "${tool}nm" "$file" | awk -v name="$1" '$3 == name { print "0x" $1 }'; }
starts() { # what, the branch that the comparison ends in; a disassembly
    awk -v what="$1" -v branch="$2" '
        /^ *[0-9a-f]+:\t/ {
            op = $2; sub(/[+-]$/, "", op)
            if (step == 0 && op == "mfpvr") { step = 1; next }
            if (step == 0 && op !~ /^(\.long|b.*|rfid|sc|.*trap)$/) next
            if (step == 1 && op == "srwi" || step == 2 && op == "cmplwi" && $3 ~ /,78$/) { step++; next }
            if (step == 3 && op " " $3 ~ branch) step = 4
            exit
        }
        END { if (step != 4) print what ": the CPU is not looked at first: " $2, $3 }'
}
if [ -n "$(symbol _start)" ]; then
    old=$(symbol postern_old_processor)
    "${tool}objcopy" -O binary -j .text "$file" "$work"
    big() { "${tool}objdump" -D -b binary -m powerpc:common64 -EB -M power4 --no-show-raw-insn "$@" "$work"; }
    little() { "${tool}objdump" -d -M power8 --no-show-raw-insn "$@" "$file"; }
    entry=$(little --start-address=4 --stop-address=8 | sed -n 's/^ *4:.*\tb *\(0x\)*\([0-9a-f]*\).*/\2/p')
    early=$(
        big --start-address=8 | starts big-endian "^blt 0x$(printf %x "${old:-0}")\$"
        little --start-address="0x${entry:-0}" | starts little-endian '^bge '
        [ -z "$old" ] || big --start-address="$old" --stop-address="$(symbol postern_old_processor_data)" |
            awk '/\.long/ { print "for an old CPU, yet no instruction of its own: " $1, $2, $3 }'
    )
    [ -z "$early" ] || found="$found
$early"
fi

undefined=$("${tool}nm" -u "$file")
[ -z "$undefined" ] || found="$found
undefined symbols: $(echo "$undefined" | tr -s ' \n' ' ')"
relocations=$("${tool}readelf" -rW "$file" | grep -o 'R_PPC64_[A-Z0-9_]*' | sort -u | grep -v '^R_PPC64_RELATIVE$' || true)
[ -z "$relocations" ] || found="$found
relocations: $(echo "$relocations" | tr '\n' ' ')"
if "${tool}readelf" -lW "$file" 2>/dev/null | grep -E '^ +LOAD .* RWE ' >/dev/null; then found="$found
a segment is writable and executable"; fi

if [ -n "$found" ]; then
    echo "$found" | sed '/^$/d; s/^/check-image: /' >&2
    exit 1
fi
echo "check-image: $file: $count instructions, none forbidden"
