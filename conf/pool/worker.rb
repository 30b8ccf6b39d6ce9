#!/usr/bin/env ruby
# A child of an rpopd pool, see rpopd.conf(5): one job after the other until the end of file.
require 'json'

def work(payload) # yours: bytes in, bytes out
  payload.upcase
end

requests = $stdin.binmode
answers = $stdout.dup.binmode
$stdout = $stderr # what is printed goes to the log

while (line = requests.gets)
  job = JSON.parse(line)
  payload = job['len'].zero? ? '' : requests.read(job['len'])
  answer = { id: job['id'], status: 'done' }
  result = ''
  begin
    result = work(payload)
  rescue StandardError => e
    answer.update(status: 'retry', error: e.message)
  end
  answers.puts(answer.merge(len: result.bytesize).to_json)
  answers.write(result)
  answers.flush
end
