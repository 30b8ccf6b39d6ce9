/* coro_aarch64.S - void coro_switch(void **save_sp, void *to_sp), AAPCS64.
 * Saves x19-x30, d8-d15 and FPCR on the stack, and goes on where `to_sp` was saved. FPCR is written
 * only where the two sides differ, because writing it serialises. */
#if defined(__aarch64__) && !defined(CORO_UCONTEXT)
    .text
    .globl  coro_switch
    .hidden coro_switch
    .type   coro_switch, %function
    .p2align 4
coro_switch:
    .cfi_startproc
    hint    #34 /* bti c */
    sub     sp, sp, #176
    .cfi_def_cfa_offset 176
    stp     x19, x20, [sp, #0]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    .cfi_offset x29, -96
    .cfi_offset x30, -88
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mrs     x9, fpcr
    str     x9, [sp, #160]
    mov     x10, sp
    str     x10, [x0]
    mov     sp, x1
    ldr     x10, [sp, #160]
    cmp     x9, x10
    b.eq    1f
    msr     fpcr, x10
1:  ldp     x19, x20, [sp, #0]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #176
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size   coro_switch, . - coro_switch

/* The first frame of a coroutine: calls x20(x19), which does not return. */
    .globl  coro_trampoline
    .hidden coro_trampoline
    .type   coro_trampoline, %function
    .p2align 4
coro_trampoline:
    .cfi_startproc
    .cfi_undefined x30 /* a backtrace ends here */
    hint    #36 /* bti j */
    mov     x29, #0
    mov     x0, x19
    blr     x20
    brk     #1
    .cfi_endproc
    .size   coro_trampoline, . - coro_trampoline
#endif
    .section .note.GNU-stack, "", %progbits
