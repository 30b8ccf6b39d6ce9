/* coro_x86_64.S - void coro_switch(void **save_sp, void *to_sp), System V ABI.
 * Saves rbx rbp r12-r15 and the x87 control word on the stack, and goes on where `to_sp` was saved.
 *
 * Floating point. The ABI wants both control words kept. Reading the x87 one costs nothing that can be
 * measured, reading MXCSR 5 ns a switch, writing it 40 and more (AMD EPYC; 3 ns is the switch itself).
 * All of <fenv.h> sets the two alike, so the x87 word tells when they must be changed: where the sides
 * differ, it is loaded, and with it MXCSR gets the same rounding mode and exception masks. A mode set in
 * MXCSR alone (flush to zero, by an intrinsic) stays the thread's, as it is before any coroutine runs. */
#if defined(__x86_64__) && !defined(CORO_UCONTEXT)
    .text
    .globl  coro_switch
    .hidden coro_switch
    .type   coro_switch, @function
    .p2align 4
coro_switch:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    fnstcw  (%rsp)
    movzwl  (%rsp), %ecx
    movq    %rsp, (%rdi)
    movq    %rsi, %rsp
    cmpw    (%rsp), %cx
    jne     2f
1:  addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    popq    %rcx
    .cfi_adjust_cfa_offset -8
    .cfi_register %rip, %rcx
    jmp     *%rcx /* a ret would always be predicted wrongly here */
    .cfi_endproc

    .cfi_startproc
    .cfi_def_cfa %rsp, 64
2:  fldcw   (%rsp)
    movzwl  (%rsp), %ecx
    stmxcsr 4(%rsp)
    movl    4(%rsp), %eax
    andl    $0xffff807f, %eax /* without rounding mode (13, 14) and masks (7 to 12) */
    movl    %ecx, %edx
    andl    $0x3f, %edx /* masks: bits 0 to 5 of the x87 word */
    shll    $7, %edx
    orl     %edx, %eax
    andl    $0xc00, %ecx /* rounding mode: its bits 10 and 11 */
    shll    $3, %ecx
    orl     %ecx, %eax
    movl    %eax, 4(%rsp)
    ldmxcsr 4(%rsp)
    jmp     1b
    .cfi_endproc
    .size   coro_switch, . - coro_switch

/* The first frame of a coroutine: calls %r13(%r12), which does not return. */
    .globl  coro_trampoline
    .hidden coro_trampoline
    .type   coro_trampoline, @function
    .p2align 4
coro_trampoline:
    .cfi_startproc
    .cfi_undefined %rip /* a backtrace ends here */
    endbr64
    xorl    %ebp, %ebp
    movq    %r12, %rdi
    call    *%r13
    ud2
    .cfi_endproc
    .size   coro_trampoline, . - coro_trampoline
#endif
    .section .note.GNU-stack, "", %progbits
