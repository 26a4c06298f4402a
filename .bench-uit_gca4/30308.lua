wrk.method = 'GET'
wrk.headers['Authorization'] = 'Bearer todo_NDcTlygPFfpzGX7xYwALk93U1mN65-h11FecdWJw8ME'
