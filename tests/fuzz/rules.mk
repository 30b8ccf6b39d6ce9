# Fuzzing with libFuzzer. tests/fuzz/fuzz_X.c begins from tests/fuzz/X/corpus, with tests/fuzz/X/dictionary where there
# is one. What the parsers take of the library is compiled once more, with clang, for its coverage; the linker names
# what is missing here.
FUZZERS      := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SECONDS ?= 20# each
FUZZ_CC      ?= clang
FUZZ_FLAGS    = $(FLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1
FUZZ         := $(BUILD)/fuzz
FUZZ_SRC     := $(filter common/% worker/runtime/%,$(SRC)) \
                $(addprefix daemon/,admin_request.c batch.c entries.c keys.c record.c redis_reply.c resp.c) \
                $(addprefix worker/handler/,exec_control.c http_date.c http_url.c pool_frame.c)
FUZZ_OBJ     := $(FUZZ_SRC:%.c=$(FUZZ)/obj/%.o) $(ASM:%.S=$(FUZZ)/obj/%.o)

$(FUZZ)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(FUZZ)/obj/%.o: %.S $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,FUZZ,$<)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<

$(FUZZ)/lib.a: $(FUZZ_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcsD $@ $^

$(FUZZERS:%=$(FUZZ)/fuzz_%): $(FUZZ)/fuzz_%: $(FUZZ)/obj/tests/fuzz/fuzz_%.o $(FUZZ)/lib.a
	$(call say,LD,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(LDFLAGS) $(LIBS)

# What is found lies in build/fuzz/X/found; feed it to the program again to see it happen.
$(FUZZERS:%=fuzz-%): fuzz-%: $(FUZZ)/fuzz_%
	@mkdir -p $(FUZZ)/$*/corpus $(FUZZ)/$*/found
	@$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
	  $(addprefix -dict=,$(wildcard tests/fuzz/$*/dictionary)) -artifact_prefix=$(FUZZ)/$*/found/ \
	  $(FUZZ)/$*/corpus $(wildcard tests/fuzz/$*/corpus) >$(FUZZ)/$*/log 2>&1; code=$$?; \
	 sed -n 's/^\(Done .*\)/fuzz_$*: \1/p' $(FUZZ)/$*/log; \
	 if [ $$code != 0 ]; then tail -n 60 $(FUZZ)/$*/log; echo "fuzz_$*: exit $$code, see $(FUZZ)/$*/found"; exit 1; fi

fuzz: $(FUZZERS:%=fuzz-%) ## fuzz every parser for FUZZ_SECONDS (20) each

-include $(wildcard $(FUZZ)/obj/*/*.d $(FUZZ)/obj/*/*/*.d)
.PHONY: fuzz $(FUZZERS:%=fuzz-%)
