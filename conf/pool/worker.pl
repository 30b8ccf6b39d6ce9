#!/usr/bin/env perl
# A child of an rpopd pool, see rpopd.conf(5): one job after the other until the end of file.
use strict;
use warnings;
use JSON::PP;

sub work { # yours: bytes in, bytes out
    my ($payload) = @_;
    return uc $payload;
}

binmode STDIN;
open my $answers, '>&:raw', \*STDOUT or die "no standard output: $!";
$answers->autoflush(1);
select STDERR; # what is printed goes to the log

while (my $line = <STDIN>) {
    my $job = decode_json($line);
    my $payload = '';
    read STDIN, $payload, $job->{len};
    my $result = eval { work($payload) };
    my $answer = { id => $job->{id}, status => 'done' };
    if ($@) {
        $result = '';
        $answer = { id => $job->{id}, status => 'retry', error => "$@" };
    }
    print $answers encode_json({ %$answer, len => length $result }), "\n", $result;
}
