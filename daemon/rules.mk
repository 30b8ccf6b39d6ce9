# The Redis scripts of daemon/lua/, each with what stands in front of and behind it, are built into the binary with
# their SHA1, which Redis knows them by.
LUA_FILES := $(filter-out %/prelude.lua %/epilogue.lua,$(sort $(wildcard daemon/lua/*.lua)))
LUA_WHOLE := $(LUA_FILES:daemon/lua/%=$(BUILD)/gen/lua/%)

$(BUILD)/gen/lua/%.lua: daemon/lua/%.lua daemon/lua/prelude.lua daemon/lua/epilogue.lua daemon/lua/compose.awk
	@mkdir -p $(@D)
	$(Q)awk -f daemon/lua/compose.awk daemon/lua/prelude.lua $< daemon/lua/epilogue.lua >$@

# The folder is a prerequisite, so that a script that was removed goes.
$(BUILD)/gen/gen/lua.inc: $(LUA_WHOLE) daemon/lua/quote.awk daemon/lua
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)for f in $(LUA_WHOLE); do n=$${f##*/}; sum=$$(sha1sum $$f) && \
	  printf '    {"%s",\n' $${n%.lua} && awk -f daemon/lua/quote.awk $$f && \
	  printf '     , %d, "%s"},\n' $$(wc -c <$$f) $${sum%% *} || exit 1; done >$@

$(BUILD)/daemon/script.o: $(BUILD)/gen/gen/lua.inc
